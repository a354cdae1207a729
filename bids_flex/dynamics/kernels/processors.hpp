// A mark for the few functions in which time is spent: they are compiled for several generations of x86 processors,
// and the loader takes the best one. No sum is reordered and nothing is fused, so all of them agree to the last bit.
// (Not under AddressSanitizer: the loader chooses before that is ready.)
#pragma once

#include <cstddef>

#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define FOR_EVERY_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EVERY_PROCESSOR
#endif
