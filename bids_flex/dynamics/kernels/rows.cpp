#include "rows.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "processors.hpp"

namespace {

// Vectors of kLanes numbers, an extension of the language that GCC and Clang share.
using Sums = Sum __attribute__((vector_size(kLanes * sizeof(Sum))));
using Reals = float __attribute__((vector_size(kLanes * sizeof(float))));
using Doubles = double __attribute__((vector_size(kLanes / 2 * sizeof(double))));

// Adding 3 * 2^51 leaves a number below 2^50 with its last digit worth one: an integer in the lower bits.
constexpr double kShift = 6755399441055744.0;

template <class To, class From>
inline To bits_as(From from) {
    static_assert(sizeof(To) == sizeof(From), "the same bits, read as another type");
    To to;
    std::memcpy(&to, &from, sizeof(to));
    return to;
}

inline std::int64_t to_integer(double value) {
    return bits_as<std::int64_t>(value + kShift) - bits_as<std::int64_t>(kShift);
}

// Natural logarithm of a number from 1: q = m 2^e with m about 1, and log m = 2 artanh((m - 1) / (m + 1)) as a series
// whose first term left out is below 3e-17. (The library's logarithm cannot be had for several numbers at once.)
inline double logarithm(double q) {
    const auto half_root = bits_as<std::uint64_t>(0.70710678118654752440);
    const std::uint64_t e = (bits_as<std::uint64_t>(q) - half_root) >> 52;
    const double m = bits_as<double>(bits_as<std::uint64_t>(q) - (e << 52));
    const double exponent = bits_as<double>(e + bits_as<std::uint64_t>(kShift)) - kShift;
    const double s = (m - 1.0) / (m + 1.0), t = s * s;
    const double high = (((1.0 / 19) * t + 1.0 / 17) * t + 1.0 / 15) * t + 1.0 / 13;
    const double series = (((((high * t + 1.0 / 11) * t + 1.0 / 9) * t + 1.0 / 7) * t + 1.0 / 5) * t + 1.0 / 3) * t;
    return exponent * 0.69314718055994530942 + 2.0 * s * (1.0 + series);
}

inline Sum largest(Sums values) {
    Sum value[kLanes];
    std::memcpy(value, &values, sizeof(value));
    for (std::size_t half = kLanes / 2; half > 0; half /= 2) {
        for (std::size_t q = 0; q < half; ++q) value[q] = std::max(value[q], value[q + half]);
    }
    return value[0];
}

}  // namespace

template <class T>
inline __attribute__((always_inline)) void add(T* __restrict to, const T* __restrict row, std::size_t n) {
    for (std::size_t j = 0; j < n; ++j) to[j] += row[j];
}

template <class T>
inline __attribute__((always_inline)) void move(T* __restrict from, T* __restrict to, const T* __restrict row,
                                                std::size_t n) {
    for (std::size_t j = 0; j < n; ++j) {
        from[j] -= row[j];
        to[j] += row[j];
    }
}

FOR_EVERY_PROCESSOR void add_row(Sum* to, const Sum* row, std::size_t n) { add(to, row, n); }

FOR_EVERY_PROCESSOR void add_row(std::int64_t* to, const std::int64_t* row, std::size_t n) { add(to, row, n); }

FOR_EVERY_PROCESSOR void move_row(Sum* from, Sum* to, const Sum* row, std::size_t n) { move(from, to, row, n); }

FOR_EVERY_PROCESSOR void move_row(std::int64_t* from, std::int64_t* to, const std::int64_t* row, std::size_t n) {
    move(from, to, row, n);
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

FOR_EVERY_PROCESSOR void fisher_row(std::int64_t* __restrict to, const double* __restrict r, std::size_t n) {
    constexpr double most = 1.0 - 1e-7;
    for (std::size_t j = 0; j < n; ++j) {
        const double size = std::fabs(r[j]), clipped = size < most ? size : most;
        to[j] = to_integer(logarithm((1.0 + clipped) / (1.0 - clipped)) * 0x1.0p45);
    }
}

FOR_EVERY_PROCESSOR void size_row(std::int64_t* __restrict to, const double* __restrict values, std::size_t n,
                                  double scale) {
    for (std::size_t j = 0; j < n; ++j) to[j] = to_integer(std::fabs(values[j]) * scale);
}

FOR_EVERY_PROCESSOR double lowest(const double* values, std::size_t n) {
    double lane[kLanes];
    std::fill_n(lane, kLanes, std::numeric_limits<double>::infinity());
    Doubles low[2];
    std::memcpy(low, lane, sizeof(low));
    std::size_t j = 0;
    for (; j + kLanes <= n; j += kLanes) {
        Doubles some[2];
        std::memcpy(some, values + j, sizeof(some));
        low[0] = some[0] < low[0] ? some[0] : low[0];
        low[1] = some[1] < low[1] ? some[1] : low[1];
    }
    std::memcpy(lane, low, sizeof(low));
    for (std::size_t q = 0; j < n; ++j, ++q) lane[q] = std::min(lane[q], values[j]);
    return *std::min_element(lane, lane + kLanes);
}
