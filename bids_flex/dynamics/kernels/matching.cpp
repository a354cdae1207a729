#include "matching.hpp"

#include <limits>

namespace {

// Optimal assignment of rows to columns, rows <= columns, least cost (the Hungarian method with potentials).
std::vector<std::size_t> assign(const std::vector<double>& cost, std::size_t rows, std::size_t columns) {
    constexpr double far = std::numeric_limits<double>::infinity();
    std::vector<double> u(rows + 1, 0.0), v(columns + 1, 0.0);
    std::vector<std::size_t> row_of(columns + 1, 0), way(columns + 1, 0);
    for (std::size_t r = 1; r <= rows; ++r) {
        row_of[0] = r;
        std::size_t at = 0;
        std::vector<double> least(columns + 1, far);
        std::vector<bool> used(columns + 1, false);
        do {
            used[at] = true;
            const std::size_t row = row_of[at];
            std::size_t next = 0;
            double step = far;
            for (std::size_t c = 1; c <= columns; ++c) {
                if (used[c]) continue;
                const double reduced = cost[(row - 1) * columns + c - 1] - u[row] - v[c];
                if (reduced < least[c]) least[c] = reduced, way[c] = at;
                if (least[c] < step) step = least[c], next = c;
            }
            for (std::size_t c = 0; c <= columns; ++c) {
                if (used[c]) {
                    u[row_of[c]] += step, v[c] -= step;
                } else {
                    least[c] -= step;
                }
            }
            at = next;
        } while (row_of[at] != 0);
        for (; at != 0; at = way[at]) row_of[at] = row_of[way[at]];
    }
    std::vector<std::size_t> column(rows, 0);
    for (std::size_t c = 1; c <= columns; ++c) {
        if (row_of[c] != 0) column[row_of[c] - 1] = c - 1;
    }
    return column;
}

}  // namespace

std::size_t Matching::step(const Layer& before, Layer& here, std::size_t regions) {
    for (std::size_t s = 0; s < here.slots(); ++s) here.set_label(s, name_[static_cast<std::size_t>(here.label(s))]);
    // the labels of this window are the rows, those of both windows the columns
    known_.clear();
    for (std::size_t s = 0; s < here.slots(); ++s) note(here.label(s));
    const std::size_t rows = known_.size();
    for (std::size_t s = 0; s < before.slots(); ++s) note(before.label(s));
    const std::size_t columns = known_.size();
    cost_.assign(rows * columns, 0.0);
    std::size_t kept = 0, matched = 0;
    for (std::size_t i = 0; i < regions; ++i) {
        const Label was = before.label_of(i), is = here.label_of(i);
        cost_[here.slot(i) * columns + place_[static_cast<std::size_t>(was)]] -= 1.0;
        kept += was == is;
    }
    const auto chosen = assign(cost_, rows, columns);
    for (std::size_t r = 0; r < rows; ++r) matched += static_cast<std::size_t>(-cost_[r * columns + chosen[r]]);
    if (matched > kept) {
        exchange(chosen);
        for (std::size_t s = 0; s < here.slots(); ++s) here.set_label(s, known_[chosen[s]]);
    }
    for (const Label label : known_) place_[static_cast<std::size_t>(label)] = kNowhere;
    return matched > kept ? matched - kept : 0;
}

void Matching::note(Label label) {
    std::size_t& at = place_[static_cast<std::size_t>(label)];
    if (at == kNowhere) at = known_.size(), known_.push_back(label);
}

void Matching::exchange(const std::vector<std::size_t>& chosen) {
    std::vector<Label> takes(known_.size(), -1);
    std::vector<char> taken(known_.size(), 0);
    for (std::size_t r = 0; r < chosen.size(); ++r) takes[r] = known_[chosen[r]], taken[chosen[r]] = 1;
    // labels that only the window before has take the names that are left
    std::size_t left = 0;
    for (std::size_t c = chosen.size(); c < known_.size(); ++c) {
        while (taken[left]) ++left;
        takes[c] = known_[left++];
    }
    for (Label& name : name_) {
        const std::size_t at = place_[static_cast<std::size_t>(name)];
        if (at != kNowhere) name = takes[at];
    }
}
