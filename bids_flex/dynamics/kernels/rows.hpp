// The few loops over rows of integers in which the search for communities spends its time. They are compiled for
// several generations of x86 processors, and the loader takes the best one; integers make all of them agree exactly.
#pragma once

#include <cstddef>
#include <cstdint>

// Modularity times a power of two, rounded (see multilayer.py): sums are exact in any order, and never drift.
using Sum = std::int32_t;

// What no gain can be; twice its size still fits a Sum.
constexpr Sum kNever = -(1 << 29);

constexpr std::size_t kLanes = 16;

constexpr std::size_t padded(std::size_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

// Gains above a threshold, summed lane by lane (lane q holds candidates q, q + 16, ...), and the highest value.
struct Tally {
    float lane[kLanes];
    Sum highest;
};

void add_row(Sum* to, const Sum* row, std::size_t n);
void move_row(Sum* from, Sum* to, const Sum* row, std::size_t n);

// Sum values - own where that is more than `least`; n is a multiple of kLanes.
void tally(const Sum* values, std::size_t n, Sum own, Sum least, Tally& out);

// Where two labels stand among n (a multiple of kLanes); -1 for one that does not.
void find_two(const std::int32_t* labels, std::size_t n, std::int32_t first, std::int32_t second, std::int32_t& at_first,
              std::int32_t& at_second);
