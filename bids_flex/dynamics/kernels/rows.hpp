// The few loops over rows of integers in which the searches for communities spend their time.
#pragma once

#include <cstddef>
#include <cstdint>

// Modularity times a power of two, rounded (see multilayer.py): sums are exact in any order, and never drift.
using Sum = std::int32_t;

// What no gain can be: sums stay below half its size, and their differences from it still fit a Sum.
constexpr Sum kNever = -(1 << 30);

constexpr std::size_t kLanes = 16;

constexpr std::size_t padded(std::size_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

// Gains above a threshold, summed lane by lane (lane q holds candidates q, q + 16, ...), and the highest value.
struct Tally {
    float lane[kLanes];
    Sum highest;
};

void add_row(Sum* to, const Sum* row, std::size_t n);
void move_row(Sum* from, Sum* to, const Sum* row, std::size_t n);
void add_row(std::int64_t* to, const std::int64_t* row, std::size_t n);
void move_row(std::int64_t* from, std::int64_t* to, const std::int64_t* row, std::size_t n);

// Sum values - own where that is more than `least`; n is a multiple of kLanes.
void tally(const Sum* values, std::size_t n, Sum own, Sum least, Tally& out);

// Where two labels stand among n (a multiple of kLanes); -1 for one that does not.
void find_two(const std::int32_t* labels, std::size_t n, std::int32_t first, std::int32_t second, std::int32_t& at_first,
              std::int32_t& at_second);

// |atanh r| of n correlations, clipped to 1 - 1e-7 as everywhere else, times 2^46 (it stays below 2^50).
void fisher_row(std::int64_t* to, const double* r, std::size_t n);

// |value| times a scale, rounded; results are below 2^51.
void size_row(std::int64_t* to, const double* values, std::size_t n, double scale);

// The lowest of n values, none of them NaN; infinity for none.
double lowest(const double* values, std::size_t n);
