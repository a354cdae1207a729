// Temporal modularity (Mucha et al. 2010): communities that maximise
//     sum_w sum_ij B_ijw d(c_iw, c_jw) + 2 sum_w omega_w sum_i d(c_iw, c_i,w+1)
// by the generalised Louvain method (Jeub et al., GenLouvain): regions move one at a time to a community that gains,
// communities become the nodes of a smaller network, and so on; the result is the start of the next iteration.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "search.hpp"

namespace nb = nanobind;

namespace {

using Stack = nb::ndarray<const std::int32_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Omegas = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Seeds = nb::ndarray<const std::uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Found = nb::ndarray<std::int16_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

using Square = nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Labellings = nb::ndarray<const std::int16_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Sums = nb::ndarray<double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// Threads that share the seeds; the result of a seed is the same whichever of them finds it.
class Pool {
public:
    Pool(const Network& network, const Settings& settings, const Seeds& seeds, std::int16_t* found, std::size_t threads)
        : network_(network), settings_(settings), seeds_(seeds), found_(found), running_(threads) {
        for (std::size_t t = 0; t < threads; ++t) threads_.emplace_back([this] { work(); });
    }
    ~Pool() {
        stop_ = true;
        for (auto& thread : threads_) thread.join();
    }
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    // True once all threads have ended, at the latest after a twentieth of a second.
    bool wait() {
        std::unique_lock lock(mutex_);
        return ended_.wait_for(lock, std::chrono::milliseconds(50), [this] { return running_ == 0; });
    }
    void raise() const {
        if (failure_) std::rethrow_exception(failure_);
    }

private:
    void work() {
        std::exception_ptr failure;
        try {
            Search search(network_, settings_, stop_);
            for (std::size_t r; !stop_ && (r = next_++) < seeds_.shape(0);) {
                const auto labels = search.run(seeds_.data()[r]);
                if (*std::max_element(labels.begin(), labels.end()) >= std::numeric_limits<std::int16_t>::max()) {
                    throw std::overflow_error("more communities than labels");
                }
                std::int16_t* out = found_ + r * labels.size();
                for (std::size_t e = 0; e < labels.size(); ++e) out[e] = static_cast<std::int16_t>(labels[e] + 1);
            }
        } catch (...) {
            failure = std::current_exception();
            stop_ = true;
        }
        const std::lock_guard lock(mutex_);
        if (failure) failure_ = failure;
        --running_;
        ended_.notify_all();
    }

    const Network& network_;
    Settings settings_;
    const Seeds& seeds_;
    std::int16_t* found_;
    std::mutex mutex_;
    std::condition_variable ended_;
    std::size_t running_;
    std::exception_ptr failure_;
    std::atomic<bool> stop_{false};
    std::atomic<std::size_t> next_{0};
    std::vector<std::thread> threads_;
};

void search(Stack b, Omegas omega, Seeds seeds, bool leiden, bool greedy, bool match, std::size_t threads, Found found) {
    const nb::gil_scoped_release release;
    const Network network(b.data(), omega.data(), b.shape(0), b.shape(1));
    const Settings settings{leiden ? Method::leiden : Method::louvain, greedy ? Rule::greedy : Rule::weighted, match};
    Pool pool(network, settings, seeds, found.data(), threads);
    while (!pool.wait()) {
        // Ctrl-C is heard here; the pool then ends its threads within a few moves
        const nb::gil_scoped_acquire acquire;
        if (PyErr_CheckSignals() != 0) throw nb::python_error();
    }
    pool.raise();
}

// Sum B over all ordered pairs of regions that share a community, for labellings (R, N) of one window.
void within(Square b, Labellings labels, Sums out) {
    const nb::gil_scoped_release release;
    const std::size_t n = b.shape(0);
    std::vector<std::size_t> order(n);
    for (std::size_t r = 0; r < labels.shape(0); ++r) {
        const std::int16_t* label = labels.data() + r * n;
        for (std::size_t i = 0; i < n; ++i) order[i] = i;
        std::sort(order.begin(), order.end(), [&](std::size_t i, std::size_t j) {
            return label[i] != label[j] ? label[i] < label[j] : i < j;
        });
        double sum = 0.0;
        for (std::size_t first = 0, last; first < n; first = last) {
            for (last = first; last < n && label[order[last]] == label[order[first]];) ++last;
            for (std::size_t a = first; a < last; ++a) {
                const double* row = b.data() + order[a] * n;
                for (std::size_t c = first; c < last; ++c) sum += row[order[c]];
            }
        }
        out.data()[r] = sum;
    }
}

}  // namespace

void bind_multilayer(nb::module_& m) {
    m.def("search", &search, nb::arg("b"), nb::arg("omega"), nb::arg("seeds"), nb::arg("leiden"), nb::arg("greedy"),
          nb::arg("match"), nb::arg("threads"), nb::arg("found"),
          "Fill found (R, W, N) with communities of integer modularity matrices b (W, N, N), one for each seed (R,).");
    m.def("within", &within, nb::arg("b"), nb::arg("labels"), nb::arg("out"),
          "Sum b (N, N) over the pairs that share a community, for every one of labellings (R, N).");
}
