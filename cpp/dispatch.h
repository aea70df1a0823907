// Picks one table of kernels for this process.
#pragma once
#include <string>
#include <vector>

#include "kernels.h"

namespace softmax2d {

// Names of the builds in this library that this processor can run, plainest first.
std::vector<std::string> runnable_builds();
// Names of all builds in this library, plainest first.
std::vector<std::string> all_builds();
// Makes `name` the table in use; false where it is unknown or cannot run here.
bool use_build(const std::string& name);
// The table in use; the best that can run, unless use_build said otherwise.
const Kernels& kernels();

}  // namespace softmax2d
