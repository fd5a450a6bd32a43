/* Is for a kind of device that there is not. */
#include "honest.h"

KERNEL(.launch = honest_launch,
       .info = EVO_TEXT({"name": "row_sum", "problems": ["reduction"], "devices": ["abacus"]}));
