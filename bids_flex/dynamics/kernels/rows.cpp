#include "rows.hpp"

#include <algorithm>
#include <cstring>

namespace {

// Vectors of kLanes numbers, an extension of the language that GCC and Clang share.
using Sums = Sum __attribute__((vector_size(kLanes * sizeof(Sum))));
using Reals = float __attribute__((vector_size(kLanes * sizeof(float))));

inline Sum largest(Sums values) {
    Sum value[kLanes];
    std::memcpy(value, &values, sizeof(value));
    for (std::size_t half = kLanes / 2; half > 0; half /= 2) {
        for (std::size_t q = 0; q < half; ++q) value[q] = std::max(value[q], value[q + half]);
    }
    return value[0];
}

}  // namespace

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_EVERY_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EVERY_PROCESSOR
#endif

FOR_EVERY_PROCESSOR void add_row(Sum* __restrict to, const Sum* __restrict row, std::size_t n) {
    for (std::size_t j = 0; j < n; ++j) to[j] += row[j];
}

FOR_EVERY_PROCESSOR void move_row(Sum* __restrict from, Sum* __restrict to, const Sum* __restrict row, std::size_t n) {
    for (std::size_t j = 0; j < n; ++j) {
        from[j] -= row[j];
        to[j] += row[j];
    }
}

FOR_EVERY_PROCESSOR void tally(const Sum* values, std::size_t n, Sum own, Sum least, Tally& out) {
    Reals lane = {};
    Sums highest = Sums{} + kNever;
    for (std::size_t block = 0; block < n; block += kLanes) {
        Sums value;
        std::memcpy(&value, values + block, sizeof(value));
        const Sums gain = value - own;
        lane += __builtin_convertvector(gain > least ? gain : Sums{}, Reals);
        highest = value > highest ? value : highest;
    }
    std::memcpy(out.lane, &lane, sizeof(lane));
    out.highest = largest(highest);
}

FOR_EVERY_PROCESSOR void find_two(const std::int32_t* labels, std::size_t n, std::int32_t first, std::int32_t second,
                                  std::int32_t& at_first, std::int32_t& at_second) {
    Sums one = Sums{} - 1, two = one;
    Sums at = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (std::size_t block = 0; block < n; block += kLanes) {
        Sums label;
        std::memcpy(&label, labels + block, sizeof(label));
        one = label == first ? at : one;
        two = label == second ? at : two;
        at += static_cast<std::int32_t>(kLanes);
    }
    at_first = largest(one);
    at_second = largest(two);
}
