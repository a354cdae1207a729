// Correlations in windows that overlap much. Consecutive windows share most of their volumes, whose products are summed
// once (`core`, by BLAS); what a window has before and after them is summed up volume by volume, from the core outwards.
// Nothing is ever subtracted from a sum, so a window is as accurate as if it had been computed by itself.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "processors.hpp"

namespace nb = nanobind;

namespace {

using Matrix = nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Counts = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Cube = nb::ndarray<double, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Rows = nb::ndarray<double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

// Add the products of volumes (count, n) to products (n, n), and the volumes to sums (n).
FOR_EVERY_PROCESSOR void add_volumes(double* __restrict products, double* __restrict sums,
                                     const double* __restrict volumes, std::size_t count, std::size_t n) {
    for (const double* x = volumes; x < volumes + count * n; x += n) {
        for (std::size_t i = 0; i < n; ++i) {
            sums[i] += x[i];
            for (std::size_t j = 0; j < n; ++j) products[i * n + j] += x[i] * x[j];
        }
    }
}

// Turn products in `out`, and those still to be added, into correlations; `spread` gets the root of each sum of squares.
FOR_EVERY_PROCESSOR void correlate(double* __restrict out, const double* __restrict more, double* __restrict spread,
                                   const double* __restrict mean, double* __restrict scale, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
        const double squares = out[i * n + i] + more[i * n + i] - mean[i] * mean[i];
        spread[i] = std::sqrt(std::max(squares, 0.0));
        scale[i] = spread[i] > 0.0 ? 1.0 / spread[i] : 0.0;
    }
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
            const double r = (out[i * n + j] + more[i * n + j] - mean[i] * mean[j]) * (scale[i] * scale[j]);
            out[i * n + j] = r > 1.0 ? 1.0 : r < -1.0 ? -1.0 : r;
        }
        out[i * n + i] = 0.0;
    }
}

// Volumes x (length + (windows - 1) * step, n) hold 0 where they are censored; kept counts the others of each window.
void sliding(Matrix x, Matrix core, Counts kept, std::size_t length, std::size_t step, Cube out, Rows spread) {
    const nb::gil_scoped_release release;
    const std::size_t windows = out.shape(0), n = out.shape(1);
    std::vector<double> products(n * n, 0.0), sums(n, 0.0), before(windows * n), mean(n), scale(n);
    for (std::size_t w = windows; w-- > 0;) {
        if (w + 1 < windows) add_volumes(products.data(), sums.data(), x.data() + w * step * n, step, n);
        std::copy(products.begin(), products.end(), out.data() + w * n * n);
        std::copy(sums.begin(), sums.end(), &before[w * n]);
    }
    std::copy_n(core.data(), n * n, products.begin());
    std::fill(sums.begin(), sums.end(), 0.0);
    for (std::size_t t = (windows - 1) * step; t < length; ++t) {
        for (std::size_t i = 0; i < n; ++i) sums[i] += x.data()[t * n + i];
    }
    for (std::size_t w = 0; w < windows; ++w) {
        if (w > 0) add_volumes(products.data(), sums.data(), x.data() + (length + (w - 1) * step) * n, step, n);
        const double root = std::sqrt(static_cast<double>(kept.data()[w]));
        for (std::size_t i = 0; i < n; ++i) mean[i] = (before[w * n + i] + sums[i]) / root;
        correlate(out.data() + w * n * n, products.data(), spread.data() + w * n, mean.data(), scale.data(), n);
    }
}

}  // namespace

void bind_sliding(nb::module_& m) {
    m.def("sliding", &sliding, nb::arg("x"), nb::arg("core"), nb::arg("kept"), nb::arg("length"), nb::arg("step"),
          nb::arg("out"), nb::arg("spread"),
          "Fill out (W, N, N) with correlations of evenly spaced windows of x, and spread (W, N).");
}
