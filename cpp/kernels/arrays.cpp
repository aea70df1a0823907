// What has a class axis: probabilities and their derivatives.
#include "../impl/sinks/probs.h"
#include "../impl/sinks/vjp.h"
#include "row.h"

namespace softmax2d {
SOFTMAX2D_ARRAYS(SOFTMAX2D_DEFINE, SOFTMAX2D_BUILD)
}  // namespace softmax2d
