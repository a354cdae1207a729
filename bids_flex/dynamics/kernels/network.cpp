#include "network.hpp"

#include <algorithm>
#include <cstdlib>

Network::Network(const Sum* b_, const std::int64_t* omega_, std::size_t windows_, std::size_t regions_)
    : b(b_), windows(windows_), regions(regions_), least(static_cast<Sum>(regions_)), reach(windows_ * regions_) {
    std::int64_t heaviest = 0;
    for (std::size_t r = 0; r < windows * regions; ++r) {
        const Sum* entries = b + r * regions;
        std::int64_t weight = 0;
        for (std::size_t j = 0; j < regions; ++j) {
            reach[r] = std::max(reach[r], std::abs(entries[j]));
            weight += std::abs(entries[j]);
        }
        heaviest = std::max(heaviest, weight);
    }
    for (std::size_t w = 0; w + 1 < windows; ++w) {
        whole_omega.push_back(omega_[w]);
        omega.push_back(static_cast<Sum>(std::min(omega_[w], 2 * heaviest)));
    }
}
