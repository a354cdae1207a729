// Names of communities that persist from window to window.
#pragma once

#include <cstddef>
#include <vector>

#include "layer.hpp"

// Goes through the windows in order and renames the communities of each, and of all after it, so that as many regions
// as can be keep their label from the window before (optimal assignment). Names are exchanged among the labels of the
// two windows; nothing changes within windows or after them.
class Matching {
public:
    explicit Matching(std::size_t communities) : name_(communities), place_(communities, kNowhere) {
        for (std::size_t k = 0; k < communities; ++k) name_[k] = static_cast<Label>(k);
    }

    // Rename window `here`; returns how many more regions than before keep their label.
    std::size_t step(const Layer& before, Layer& here, std::size_t regions);

private:
    static constexpr std::size_t kNowhere = static_cast<std::size_t>(-1);
    void note(Label label);
    void exchange(const std::vector<std::size_t>& chosen);

    std::vector<Label> name_, known_;
    std::vector<std::size_t> place_;  // of a label in known_
    std::vector<double> cost_;
};
