// The `prior` engine: reconfiguration from canonical networks (Broeders et al. 2024).
//
// Every window starts from the atlas's networks. With F = |atanh r|, and for region i in network c:
//     in_i  = mean of F_ij over the other members j of c
//     out_i = mean of F_ij over all regions j outside c
//     cost_i = (in_i - out_i) / (in_i + out_i)
// The region with the lowest cost moves to the network that it is connected to best; the search ends when the same
// region is worst twice in a row. A mean over nothing is NaN, and NaN sorts last.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "rows.hpp"

namespace nb = nanobind;

namespace {

using Cube = nb::ndarray<const double, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Networks = nb::ndarray<const std::int16_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Labels = nb::ndarray<std::int16_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Values = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Integers = nb::ndarray<std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Counts = nb::ndarray<std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// Where the lowest value stands first.
std::size_t first_lowest(const std::vector<double>& values) {
    return static_cast<std::size_t>(
        std::find(values.begin(), values.end(), lowest(values.data(), values.size())) - values.begin());
}

// One window's search. Connection strengths are held as integers (F times a power of two), so that sums over networks
// can be updated row by row, for ever, without rounding: what ties stays tied, and the order of sums does not matter.
class Window {
public:
    Window(std::size_t regions, std::size_t networks)
        : n_(regions), k_(networks), f_(regions * regions), sum_(regions * networks), total_(regions),
          cost_(regions), size_(networks), label_(regions), members_(networks) {}

    // Take a window and put every region into its own network; false when it is not finite and symmetric.
    bool start(const double* fc, const std::int16_t* networks, bool fisher) {
        if (!take_strengths(fc, fisher)) return false;
        std::fill(sum_.begin(), sum_.end(), 0);
        std::fill(size_.begin(), size_.end(), 0);
        for (auto& members : members_) members.clear();
        for (std::size_t i = 0; i < n_; ++i) {
            label_[i] = static_cast<std::size_t>(networks[i] - 1);
            ++size_[label_[i]];
            members_[label_[i]].push_back(i);
            add_row(&sum_[label_[i] * n_], &f_[i * n_], n_);
        }
        for (std::size_t i = 0; i < n_; ++i) {
            total_[i] = 0;
            for (std::size_t k = 0; k < k_; ++k) total_[i] += sum_[k * n_ + i];
        }
        for (std::size_t i = 0; i < n_; ++i) cost_[i] = cost(i);
        return true;
    }

    // Run to the end and return the number of iterations, the stopping one included.
    int search(int max_iterations) {
        std::size_t previous = n_;
        for (int iteration = 1; iteration <= max_iterations; ++iteration) {
            // the first one on ties
            const std::size_t worst = first_lowest(cost_);
            if (worst == previous) return iteration;
            move(worst, best_network(worst));
            previous = worst;
        }
        return max_iterations;
    }

    std::int16_t label(std::size_t region) const { return static_cast<std::int16_t>(label_[region] + 1); }

private:
    // Strengths become integers below 2^50: they round exactly, and sums over thousands of regions stay below 2^63.
    bool take_strengths(const double* fc, bool fisher) {
        const double scale = fisher ? 0.0 : scale_of(fc);
        for (std::size_t i = 0; i < n_; ++i) {
            if (fisher) {
                fisher_row(&f_[i * n_], fc + i * n_, i);
            } else {
                size_row(&f_[i * n_], fc + i * n_, i, scale);
            }
        }
        // the other triangle, in blocks that a cache holds
        for (std::size_t top = 0; top < n_; top += kBlock) {
            for (std::size_t left = 0; left <= top; left += kBlock) {
                if (!mirror(fc, top, left)) return false;
            }
        }
        return true;
    }

    bool mirror(const double* fc, std::size_t top, std::size_t left) {
        bool sound = true;
        for (std::size_t i = top; i < std::min(top + kBlock, n_); ++i) {
            for (std::size_t j = left; j < std::min(left + kBlock, i); ++j) {
                // false for what is not finite, too
                sound &= std::fabs(fc[i * n_ + j] - fc[j * n_ + i]) <= 1e-9;
                f_[j * n_ + i] = f_[i * n_ + j];
            }
        }
        return sound;
    }

    double scale_of(const double* fc) const {
        double highest = 0.0;
        for (std::size_t i = 0; i < n_; ++i) {
            for (std::size_t j = 0; j < i; ++j) highest = std::max(highest, std::fabs(fc[i * n_ + j]));
        }
        int exponent = 0;
        std::frexp(highest, &exponent);
        return std::ldexp(1.0, 50 - exponent);
    }

    // NaN (a mean over nothing) is kept as infinity, which sorts last as well.
    double cost(std::size_t i) const {
        const std::size_t own = label_[i];
        const std::int64_t to_own = sum_[own * n_ + i];
        const double inside = static_cast<double>(to_own) / (size_[own] - 1.0);
        const double outside = static_cast<double>(total_[i] - to_own) / (static_cast<double>(n_) - size_[own]);
        const double value = (inside - outside) / (inside + outside);
        return std::isnan(value) ? INFINITY : value;
    }

    // The network with the highest mean connection to a region, itself left out; the first one on ties.
    std::size_t best_network(std::size_t i) const {
        std::size_t best = 0;
        double highest = NAN;
        for (std::size_t k = 0; k < k_; ++k) {
            const double mean = static_cast<double>(sum_[k * n_ + i]) / (size_[k] - (label_[i] == k ? 1.0 : 0.0));
            if (mean > highest || (std::isnan(highest) && !std::isnan(mean))) {
                highest = mean;
                best = k;
            }
        }
        return best;
    }

    // Only the sums over two networks change, and with them the costs of their members.
    void move(std::size_t region, std::size_t to) {
        const std::size_t from = label_[region];
        if (from == to) return;
        move_row(&sum_[from * n_], &sum_[to * n_], &f_[region * n_], n_);
        label_[region] = to;
        size_[from] -= 1.0;
        size_[to] += 1.0;
        auto& left = members_[from];
        left.erase(std::find(left.begin(), left.end(), region));
        members_[to].push_back(region);
        for (const std::size_t i : left) cost_[i] = cost(i);
        for (const std::size_t i : members_[to]) cost_[i] = cost(i);
    }

    static constexpr std::size_t kBlock = 16;
    std::size_t n_, k_;
    std::vector<std::int64_t> f_, sum_, total_;
    std::vector<double> cost_, size_;
    std::vector<std::size_t> label_;
    std::vector<std::vector<std::size_t>> members_;  // of each network, in any order
};

// Returns the number of windows searched: fewer than there are when one is not finite and symmetric.
std::size_t prior(Cube fc, Networks networks, std::size_t n_networks, int max_iterations, bool fisher, Labels labels,
                  Counts iterations) {
    const std::size_t windows = fc.shape(0), regions = fc.shape(1);
    Window window(regions, n_networks);
    for (std::size_t w = 0; w < windows; ++w) {
        if (!window.start(fc.data() + w * regions * regions, networks.data(), fisher)) return w;
        iterations.data()[w] = window.search(max_iterations);
        for (std::size_t i = 0; i < regions; ++i) labels.data()[w * regions + i] = window.label(i);
    }
    return windows;
}

// What the search takes correlations for, so that tests can look at it.
void strengths(Values r, Integers to) { fisher_row(to.data(), r.data(), r.shape(0)); }

}  // namespace

void bind_prior(nb::module_& m) {
    m.def("prior", &prior, nb::arg("fc"), nb::arg("networks"), nb::arg("n_networks"), nb::arg("max_iterations"),
          nb::arg("fisher"), nb::arg("labels"), nb::arg("iterations"), nb::call_guard<nb::gil_scoped_release>(),
          "Search every window of fc (W, N, N) from the same networks (N,), filling labels (W, N) and iterations (W,).");
    m.def("strengths", &strengths, nb::arg("r"), nb::arg("to"), "Fill to (n,) with |atanh r| times 2^46, for r (n,).");
}
