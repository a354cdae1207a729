// What communities are sought in: modularity matrices of all windows and the couplings between them.
#pragma once

#include <cstdint>
#include <vector>

#include "rows.hpp"

using Label = std::int32_t;

struct Network {
    const Sum* b;  // (windows, regions, regions), symmetric, zero diagonal, integers of one scale
    std::size_t windows, regions;
    Sum least;  // gains up to this may be nothing but rounding, which adds up to half of it in a row at most

    std::vector<Sum> omega;                 // (windows - 1), no larger than what outweighs any row of B
    std::vector<std::int64_t> whole_omega;  // the same, unlimited: what communities are coupled with
    std::vector<Sum> reach;                 // (windows * regions), largest size of an entry of each row of B

    Network(const Sum* b, const std::int64_t* omega, std::size_t windows, std::size_t regions);

    const Sum* row(std::size_t w, std::size_t i) const { return b + (w * regions + i) * regions; }
    // Ask for a row that will be needed soon.
    void fetch(std::size_t w, std::size_t i) const {
        for (std::size_t j = 0; j < regions; j += kLanes) __builtin_prefetch(row(w, i) + j);
    }
};

// The labels of a region in the windows before and after (-1: no such window), and what keeping them is worth.
struct Ties {
    Label before, after;
    Sum omega_before, omega_after;
    Sum to(Label label) const { return (label == before ? omega_before : 0) + (label == after ? omega_after : 0); }
};

// What a region may join: communities of its window, labels that only neighbouring windows have, or none.
struct Candidates {
    std::vector<Sum> gain;  // communities, two outside labels, alone; padded with kNever
    std::size_t slots = 0;  // number of communities
    Label outside[2] = {-1, -1};
    Sum own = 0;  // what the region has where it is, which itself is no candidate

    std::size_t size() const { return padded(slots + 3); }
    std::size_t alone() const { return slots + 2; }

    // Make room for communities whose gains are filled in by the caller, and offer what lies outside.
    void start(std::size_t communities) {
        slots = communities;
        if (gain.size() < size()) gain.resize(2 * size());
        for (std::size_t k = slots; k < size(); ++k) gain[k] = kNever;
        gain[alone()] = 0;
        outside[0] = outside[1] = -1;
    }

    // Add a coupling to the community at `slot`, or offer the label as one from outside.
    void couple(Label label, std::size_t slot, Sum omega) {
        if (slot < slots) {
            gain[slot] += omega;
            return;
        }
        const std::size_t k = outside[0] < 0 || outside[0] == label ? 0 : 1;
        gain[slots + k] = outside[k] == label ? gain[slots + k] + omega : omega;
        outside[k] = label;
    }

    void exclude(std::size_t slot) { own = gain[slot], gain[slot] = kNever; }

    // The label that a target outside the window has; `fresh` for none.
    Label label_outside(std::size_t target, Label fresh) const {
        return target < alone() ? outside[target - slots] : fresh;
    }
};
