// Losses and their gradients.
#include "../impl/sinks/loss.h"
#include "../impl/sinks/region.h"
#include "../impl/sinks/soft.h"
#include "row.h"

namespace softmax2d {
SOFTMAX2D_LOSSES(SOFTMAX2D_DEFINE, SOFTMAX2D_BUILD)
}  // namespace softmax2d
