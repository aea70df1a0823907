// Labels and confidences, and what is counted over the pixels.
#include "../impl/sinks/curves.h"
#include "../impl/sinks/decide.h"
#include "../impl/sinks/fit.h"
#include "../impl/sinks/histogram.h"
#include "../impl/sinks/prior.h"
#include "../impl/sinks/segment.h"
#include "../impl/sinks/shift.h"
#include "../impl/sinks/statistics.h"
#include "row.h"

namespace softmax2d {
SOFTMAX2D_PIXELS(SOFTMAX2D_DEFINE, SOFTMAX2D_BUILD)
}  // namespace softmax2d
