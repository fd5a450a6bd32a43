/* Its space names a parameter that the kernel does not have. */
#include "honest.h"

KERNEL(.info = HONEST_INFO, .launch = honest_launch,
       .space = EVO_TEXT((name: "row_sum", params: [(name: "TILE", values: [1, 4])])));
