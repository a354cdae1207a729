// The compiled part of bids_flex.dynamics: one bind function per kernel, each beside its kernel.
#include <nanobind/nanobind.h>

namespace nb = nanobind;

void bind_measures(nb::module_& m);
void bind_multilayer(nb::module_& m);
void bind_prior(nb::module_& m);
void bind_sliding(nb::module_& m);

NB_MODULE(_kernels, m) {
    m.doc() = "Compiled kernels of bids_flex.dynamics; the Python modules beside them check arguments and explain.";
    bind_measures(m);
    bind_multilayer(m);
    bind_prior(m);
    bind_sliding(m);
}
