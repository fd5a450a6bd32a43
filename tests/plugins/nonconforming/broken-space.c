/* Its space has a constraint that nothing satisfies. */
#include "honest.h"

KERNEL(.info = HONEST_INFO, .launch = honest_launch,
       .space = EVO_TEXT((name: "row_sum", params: [(name: "LANES", values: [1, 4])],
                          constraints: [(expr: "LANES > 4", reason: "nothing is")])));
