// Measures that compare regions with each other, for R labellings (restarts) of W windows and N regions.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace nb = nanobind;

namespace {

using Labels = nb::ndarray<const std::int16_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Pairs = nb::ndarray<const bool, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Counts = nb::ndarray<std::int64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

// The order of regions that puts equal labels together; label 0 (not searched) comes first.
void sort_by_label(const std::int16_t* labels, std::vector<std::int32_t>& order) {
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int32_t>(i);
    std::sort(order.begin(), order.end(), [labels](std::int32_t a, std::int32_t b) { return labels[a] < labels[b]; });
}

// together[i, j]: windows in which both are searched and share a community, over all labellings.
void count_together(Labels labels, Counts together) {
    const std::size_t rows = labels.shape(0) * labels.shape(1), n = labels.shape(2);
    std::vector<std::int32_t> order(n);
    for (std::size_t row = 0; row < rows; ++row) {
        const std::int16_t* label = labels.data() + row * n;
        sort_by_label(label, order);
        for (std::size_t first = 0, last; first < n; first = last) {
            const std::int16_t community = label[order[first]];
            for (last = first; last < n && label[order[last]] == community; ++last) {}
            if (community == 0) continue;
            for (std::size_t a = first; a < last; ++a) {
                std::int64_t* line = together.data() + static_cast<std::size_t>(order[a]) * n;
                for (std::size_t b = first; b < last; ++b) ++line[order[b]];
            }
        }
    }
}

// Changes of every region (R, N) at pairs that count, and how many of them another region makes too: mutual counts
// the changes, strength the (change, other region) combinations. A change is the pair (from, to) itself.
void count_changes(Labels labels, Pairs pairs, Counts changes, Counts mutual, Counts strength) {
    const std::size_t restarts = labels.shape(0), windows = labels.shape(1), n = labels.shape(2);
    struct Change {
        std::uint32_t move;
        std::int32_t region;
    };
    std::vector<Change> moved;
    for (std::size_t r = 0; r < restarts; ++r) {
        for (std::size_t w = 0; w + 1 < windows; ++w) {
            if (!pairs.data()[w]) continue;
            const std::int16_t* before = labels.data() + (r * windows + w) * n;
            const std::int16_t* after = before + n;
            moved.clear();
            for (std::size_t i = 0; i < n; ++i) {
                if (before[i] == 0 || after[i] == 0 || before[i] == after[i]) continue;
                const auto from = static_cast<std::uint32_t>(static_cast<std::uint16_t>(before[i]));
                moved.push_back({from << 16 | static_cast<std::uint16_t>(after[i]), static_cast<std::int32_t>(i)});
            }
            std::sort(moved.begin(), moved.end(), [](Change a, Change b) { return a.move < b.move; });
            for (std::size_t first = 0, last; first < moved.size(); first = last) {
                for (last = first; last < moved.size() && moved[last].move == moved[first].move; ++last) {}
                const auto others = static_cast<std::int64_t>(last - first - 1);
                for (std::size_t m = first; m < last; ++m) {
                    const std::size_t cell = r * n + static_cast<std::size_t>(moved[m].region);
                    ++changes.data()[cell];
                    mutual.data()[cell] += others > 0;
                    strength.data()[cell] += others;
                }
            }
        }
    }
}

}  // namespace

void bind_measures(nb::module_& m) {
    m.def("count_together", &count_together, nb::arg("labels"), nb::arg("together"),
          nb::call_guard<nb::gil_scoped_release>(),
          "Add to together (N, N) the windows of labels (R, W, N) in which two regions share a community.");
    m.def("count_changes", &count_changes, nb::arg("labels"), nb::arg("pairs"), nb::arg("changes"), nb::arg("mutual"),
          nb::arg("strength"), nb::call_guard<nb::gil_scoped_release>(),
          "Add to (R, N) counts the changes of labels (R, W, N) at the pairs (W - 1,) that count.");
}
