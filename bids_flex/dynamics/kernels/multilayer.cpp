// Temporal modularity (Mucha et al. 2010): communities that maximise
//     sum_w sum_ij B_ijw d(c_iw, c_jw) + 2 sum_w omega_w sum_i d(c_iw, c_i,w+1)
// by the generalised Louvain method (Jeub et al., GenLouvain): regions move one at a time to a community that gains,
// communities become the nodes of a smaller network, and so on; the result is the start of the next iteration.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <thread>
#include <vector>

#include "random.hpp"

namespace nb = nanobind;

namespace {

using Label = std::int32_t;

// Smallest gain that counts: below it, single precision cannot tell a gain from nothing.
constexpr double kLeastGain = 1e-5;

// Windows with more communities than this have no table of sums; their regions sum their rows anew.
constexpr std::size_t kTable = 48;

struct Network {
    const float* b;       // (windows, regions, regions), zero diagonal
    const double* omega;  // (windows - 1)
    std::size_t windows, regions;
    const float* row(std::size_t w, std::size_t i) const { return b + (w * regions + i) * regions; }
};

enum class Rule { greedy, weighted };

// Collects what a node would gain by each move and chooses one: the best, or one at random weighted by its gain.
class Choice {
public:
    explicit Choice(Rule rule) : rule_(rule) {}
    void clear() { moves_.clear(), total_ = 0.0; }
    void offer(std::size_t target, double gain) {
        if (gain <= kLeastGain) return;
        moves_.push_back({target, gain});
        total_ += gain;
    }
    bool any() const { return !moves_.empty(); }
    std::pair<std::size_t, double> take(Random& random) const {
        if (rule_ == Rule::greedy) {
            return *std::max_element(moves_.begin(), moves_.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
        }
        double left = random.uniform() * total_;
        for (const auto& move : moves_) {
            left -= move.second;
            if (left < 0.0) return move;
        }
        return moves_.back();
    }

private:
    Rule rule_;
    std::vector<std::pair<std::size_t, double>> moves_;
    double total_ = 0.0;
};

// One window's communities: slots with a global label, their sizes, and sums of B from every region to every slot.
class Layer {
public:
    void start(const Network& network, std::size_t w, const Label* labels) {
        network_ = &network;
        w_ = w;
        const std::size_t n = network.regions;
        label_.clear(), size_.clear(), slot_.resize(n);
        std::vector<std::pair<Label, std::size_t>> sorted(n);
        for (std::size_t i = 0; i < n; ++i) sorted[i] = {labels[i], i};
        std::sort(sorted.begin(), sorted.end());
        for (const auto& [label, region] : sorted) {
            if (label_.empty() || label_.back() != label) label_.push_back(label), size_.push_back(0);
            slot_[region] = label_.size() - 1;
            ++size_.back();
        }
        fill_table();
    }

    std::size_t slots() const { return label_.size(); }
    std::size_t slot(std::size_t region) const { return slot_[region]; }
    Label label(std::size_t slot) const { return label_[slot]; }
    Label label_of(std::size_t region) const { return label_[slot_[region]]; }
    std::size_t size(std::size_t slot) const { return size_[slot]; }

    // Sums of B from a region to every slot.
    void sums(std::size_t region, std::vector<float>& out) const {
        out.assign(slots(), 0.0f);
        if (has_table_) {
            for (std::size_t s = 0; s < slots(); ++s) out[s] = table_[s * network_->regions + region];
            return;
        }
        const float* row = network_->row(w_, region);
        for (std::size_t j = 0; j < network_->regions; ++j) out[slot_[j]] += row[j];
    }

    // The slot of a label; as many as there are slots when it has none.
    std::size_t find(Label label) const {
        return static_cast<std::size_t>(std::find(label_.begin(), label_.end(), label) - label_.begin());
    }

    std::size_t add_slot(Label label) {
        label_.push_back(label), size_.push_back(0);
        if (has_table_) table_.resize(slots() * network_->regions, 0.0f);
        return slots() - 1;
    }

    void move(std::size_t region, std::size_t to) {
        const std::size_t from = slot_[region], n = network_->regions;
        slot_[region] = to;
        --size_[from], ++size_[to];
        if (!has_table_) return;
        const float* row = network_->row(w_, region);
        float *lost = &table_[from * n], *won = &table_[to * n];
        for (std::size_t j = 0; j < n; ++j) lost[j] -= row[j];
        for (std::size_t j = 0; j < n; ++j) won[j] += row[j];
    }

    // Forget slots that have become empty, and take up a table once there are few.
    void compact() {
        std::vector<std::size_t> place(slots());
        std::size_t kept = 0;
        const std::size_t n = network_->regions;
        for (std::size_t s = 0; s < slots(); ++s) {
            place[s] = kept;
            if (size_[s] == 0) continue;
            label_[kept] = label_[s], size_[kept] = size_[s];
            if (has_table_ && kept != s) std::copy_n(&table_[s * n], n, &table_[kept * n]);
            ++kept;
        }
        label_.resize(kept), size_.resize(kept);
        for (auto& s : slot_) s = place[s];
        if (has_table_) {
            table_.resize(kept * n);
        } else {
            fill_table();
        }
    }

private:
    void fill_table() {
        const std::size_t n = network_->regions;
        has_table_ = slots() <= kTable;
        if (!has_table_) return;
        table_.assign(slots() * n, 0.0f);
        for (std::size_t i = 0; i < n; ++i) {
            const float* row = network_->row(w_, i);
            float* sums = &table_[slot_[i] * n];
            for (std::size_t j = 0; j < n; ++j) sums[j] += row[j];
        }
    }

    const Network* network_ = nullptr;
    std::size_t w_ = 0;
    bool has_table_ = false;
    std::vector<Label> label_;
    std::vector<std::size_t> size_, slot_;
    std::vector<float> table_;
};

// A weighted network whose nodes are communities: rows of (neighbour, weight), no loops.
struct Graph {
    std::vector<std::size_t> begin;
    std::vector<std::pair<Label, double>> links;
    std::size_t nodes() const { return begin.size() - 1; }
};

// Give labels the numbers 0..K-1 in the order of their first appearance, and return K.
Label number_labels(std::vector<Label>& labels) {
    std::vector<Label> seen(static_cast<std::size_t>(*std::max_element(labels.begin(), labels.end())) + 1, -1);
    Label next = 0;
    for (auto& label : labels) {
        Label& number = seen[static_cast<std::size_t>(label)];
        if (number < 0) number = next++;
        label = number;
    }
    return next;
}

// Sum links that are listed more than once; `rows[r]` may name a neighbour often and r itself.
Graph merge(std::vector<std::vector<std::pair<Label, double>>>& rows) {
    Graph graph;
    graph.begin.push_back(0);
    std::vector<double> weight(rows.size(), 0.0);
    std::vector<bool> met(rows.size(), false);
    std::vector<Label> order;
    for (std::size_t r = 0; r < rows.size(); ++r) {
        order.clear();
        for (const auto& [to, value] : rows[r]) {
            if (static_cast<std::size_t>(to) == r) continue;
            if (!met[static_cast<std::size_t>(to)]) met[static_cast<std::size_t>(to)] = true, order.push_back(to);
            weight[static_cast<std::size_t>(to)] += value;
        }
        for (const Label to : order) {
            graph.links.push_back({to, weight[static_cast<std::size_t>(to)]});
            weight[static_cast<std::size_t>(to)] = 0.0, met[static_cast<std::size_t>(to)] = false;
        }
        graph.begin.push_back(graph.links.size());
    }
    return graph;
}

class Louvain {
public:
    Louvain(const Network& network, Rule rule, std::uint64_t seed, const std::atomic<bool>& stop)
        : network_(network), choice_(rule), random_(seed), stop_(stop), layers_(network.windows),
          labels_(network.windows * network.regions) {}

    // Iterate from one community per region and window until nothing is gained.
    const std::vector<Label>& run(bool match) {
        for (std::size_t i = 0; i < labels_.size(); ++i) labels_[i] = static_cast<Label>(i);
        while (!stop_) {
            double gained = move_regions() + merge_communities();
            if (match && !stop_) gained += match_windows();
            if (gained <= kLeastGain * static_cast<double>(network_.windows)) break;
        }
        number_labels(labels_);
        return labels_;
    }

private:
    // Move regions, window by window in random order, as long as it pays.
    double move_regions() {
        number_labels(labels_);
        for (std::size_t w = 0; w < network_.windows; ++w) {
            layers_[w].start(network_, w, &labels_[w * network_.regions]);
        }
        std::vector<char> due(network_.windows, 1);
        std::vector<std::size_t> order(network_.windows);
        for (std::size_t w = 0; w < order.size(); ++w) order[w] = w;
        double gained = 0.0, last = std::numeric_limits<double>::max();
        while (last > kLeastGain && !stop_) {
            random_.shuffle(order);
            std::vector<char> changed(network_.windows, 0);
            last = 0.0;
            for (const std::size_t w : order) {
                if (!due[w]) continue;
                const double gain = move_in_window(w);
                changed[w] = gain > 0.0;
                last += gain;
            }
            // a window where nothing has changed, nor beside it, has nothing to gain
            for (std::size_t w = 0; w < due.size(); ++w) {
                due[w] = changed[w] || (w > 0 && changed[w - 1]) || (w + 1 < due.size() && changed[w + 1]);
            }
            for (auto& layer : layers_) layer.compact();
            gained += last;
        }
        for (std::size_t w = 0; w < network_.windows; ++w) {
            for (std::size_t i = 0; i < network_.regions; ++i) {
                labels_[w * network_.regions + i] = layers_[w].label_of(i);
            }
        }
        return gained;
    }

    double move_in_window(std::size_t w) {
        Layer& layer = layers_[w];
        regions_.resize(network_.regions);
        for (std::size_t i = 0; i < regions_.size(); ++i) regions_[i] = i;
        random_.shuffle(regions_);
        double gained = 0.0;
        for (const std::size_t i : regions_) gained += move_region(layer, w, i);
        return gained;
    }

    // Offer a region every community of its window, and those of itself in the windows before and after.
    double move_region(Layer& layer, std::size_t w, std::size_t i) {
        layer.sums(i, sums_);
        gains_.assign(sums_.begin(), sums_.end());
        outside_.clear();
        if (w > 0) couple(layer, layers_[w - 1].label_of(i), network_.omega[w - 1]);
        if (w + 1 < network_.windows) couple(layer, layers_[w + 1].label_of(i), network_.omega[w]);
        const std::size_t own = layer.slot(i);
        choice_.clear();
        for (std::size_t s = 0; s < layer.slots(); ++s) {
            // an emptied slot is a community only where a neighbouring window keeps it; then it is coupled, and offered
            if (s != own) choice_.offer(s, gains_[s] - gains_[own]);
        }
        for (std::size_t k = 0; k < outside_.size(); ++k) {
            choice_.offer(layer.slots() + k, outside_[k].second - gains_[own]);
        }
        if (!choice_.any()) return 0.0;
        auto [target, gain] = choice_.take(random_);
        if (target >= layer.slots()) target = layer.add_slot(outside_[target - layer.slots()].first);
        layer.move(i, target);
        return gain;
    }

    void couple(const Layer& layer, Label label, double omega) {
        const std::size_t s = layer.find(label);
        if (s < layer.slots()) {
            gains_[s] += omega;
            return;
        }
        for (auto& [other, gain] : outside_) {
            if (other == label) {
                gain += omega;
                return;
            }
        }
        outside_.push_back({label, omega});
    }

    // Make communities nodes, join nodes, and so on until no join pays.
    double merge_communities() {
        std::vector<Label> group;
        double gained = 0.0;
        Graph graph = graph_of_communities();
        std::vector<Label> member(graph.nodes());
        for (std::size_t k = 0; k < member.size(); ++k) member[k] = static_cast<Label>(k);
        while (!stop_) {
            const double gain = move_nodes(graph, group);
            if (gain <= kLeastGain) break;
            gained += gain;
            const auto groups = static_cast<std::size_t>(number_labels(group));
            for (auto& m : member) m = group[static_cast<std::size_t>(m)];
            std::vector<std::vector<std::pair<Label, double>>> rows(groups);
            for (std::size_t k = 0; k < graph.nodes(); ++k) {
                for (std::size_t e = graph.begin[k]; e < graph.begin[k + 1]; ++e) {
                    const auto& [to, weight] = graph.links[e];
                    rows[static_cast<std::size_t>(group[k])].push_back({group[static_cast<std::size_t>(to)], weight});
                }
            }
            graph = merge(rows);
        }
        for (auto& label : labels_) label = member[static_cast<std::size_t>(label)];
        return gained;
    }

    Graph graph_of_communities() {
        const auto communities = static_cast<std::size_t>(number_labels(labels_));
        std::vector<std::vector<std::pair<Label, double>>> rows(communities);
        const std::size_t n = network_.regions;
        std::vector<double> between;
        for (std::size_t w = 0; w < network_.windows; ++w) {
            Layer& layer = layers_[w];
            layer.start(network_, w, &labels_[w * n]);
            const std::size_t k = layer.slots();
            between.assign(k * k, 0.0);
            for (std::size_t i = 0; i < n; ++i) {
                layer.sums(i, sums_);
                for (std::size_t s = 0; s < k; ++s) between[layer.slot(i) * k + s] += sums_[s];
            }
            for (std::size_t a = 0; a < k; ++a) {
                for (std::size_t b = 0; b < k; ++b) {
                    if (a != b) rows[static_cast<std::size_t>(layer.label(a))].push_back({layer.label(b), between[a * k + b]});
                }
            }
            for (std::size_t i = 0; w > 0 && i < n; ++i) {
                const Label here = labels_[w * n + i], before = labels_[(w - 1) * n + i];
                if (here == before) continue;
                rows[static_cast<std::size_t>(here)].push_back({before, network_.omega[w - 1]});
                rows[static_cast<std::size_t>(before)].push_back({here, network_.omega[w - 1]});
            }
        }
        return merge(rows);
    }

    double move_nodes(const Graph& graph, std::vector<Label>& group) {
        const std::size_t nodes = graph.nodes();
        group.resize(nodes);
        std::vector<std::size_t> order(nodes);
        for (std::size_t k = 0; k < nodes; ++k) group[k] = static_cast<Label>(k), order[k] = k;
        std::vector<double> weight(nodes, 0.0);
        std::vector<bool> met(nodes, false);
        std::vector<Label> near;
        double gained = 0.0, last = std::numeric_limits<double>::max();
        while (last > kLeastGain && !stop_) {
            last = 0.0;
            random_.shuffle(order);
            for (const std::size_t k : order) {
                near.clear();
                for (std::size_t e = graph.begin[k]; e < graph.begin[k + 1]; ++e) {
                    const auto to = static_cast<std::size_t>(group[static_cast<std::size_t>(graph.links[e].first)]);
                    if (!met[to]) met[to] = true, near.push_back(static_cast<Label>(to));
                    weight[to] += graph.links[e].second;
                }
                const double own = weight[static_cast<std::size_t>(group[k])];
                choice_.clear();
                for (const Label to : near) {
                    if (to != group[k]) choice_.offer(static_cast<std::size_t>(to), weight[static_cast<std::size_t>(to)] - own);
                }
                for (const Label to : near) weight[static_cast<std::size_t>(to)] = 0.0, met[static_cast<std::size_t>(to)] = false;
                if (!choice_.any()) continue;
                const auto [to, gain] = choice_.take(random_);
                group[k] = static_cast<Label>(to);
                last += gain;
            }
            gained += last;
        }
        return gained;
    }

    double match_windows();

    const Network& network_;
    Choice choice_;
    Random random_;
    const std::atomic<bool>& stop_;
    std::vector<Layer> layers_;
    std::vector<Label> labels_;
    std::vector<std::size_t> regions_;
    std::vector<float> sums_;
    std::vector<double> gains_;
    std::vector<std::pair<Label, double>> outside_;
};

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

// Make name[] a permutation that gives known[r] the name known[chosen[r]], and changes no label that is not known.
void exchange_names(const std::vector<Label>& known, const std::vector<std::size_t>& chosen, std::vector<Label>& name) {
    for (std::size_t label = 0; label < name.size(); ++label) name[label] = static_cast<Label>(label);
    std::vector<bool> taken(known.size(), false);
    for (std::size_t r = 0; r < chosen.size(); ++r) {
        name[static_cast<std::size_t>(known[r])] = known[chosen[r]];
        taken[chosen[r]] = true;
    }
    // labels that only the window before has take the names that are left
    std::size_t left = 0;
    for (std::size_t c = chosen.size(); c < known.size(); ++c) {
        while (taken[left]) ++left;
        name[static_cast<std::size_t>(known[c])] = known[left++];
    }
}

// Rename the communities of each window and all after it, so that as many regions as can be keep their label from the
// window before. Names are exchanged among the labels of the two windows; nothing changes within windows or after them.
double Louvain::match_windows() {
    const std::size_t n = network_.regions;
    const auto k = static_cast<std::size_t>(number_labels(labels_));
    std::vector<Label> name(k), place(k, -1), known;
    double gained = 0.0;
    for (std::size_t w = 1; w < network_.windows && !stop_; ++w) {
        const Label *here = &labels_[w * n], *before = here - n;
        known.clear();
        auto note = [&](Label label) {
            Label& at = place[static_cast<std::size_t>(label)];
            if (at < 0) at = static_cast<Label>(known.size()), known.push_back(label);
        };
        // labels of this window first: they are the rows, and all of both windows the columns
        for (std::size_t i = 0; i < n; ++i) note(here[i]);
        const std::size_t rows = known.size();
        for (std::size_t i = 0; i < n; ++i) note(before[i]);
        const std::size_t columns = known.size();
        std::vector<double> cost(rows * columns, 0.0);
        double kept = 0.0, matched = 0.0;
        for (std::size_t i = 0; i < n; ++i) {
            const auto row = static_cast<std::size_t>(place[static_cast<std::size_t>(here[i])]);
            cost[row * columns + static_cast<std::size_t>(place[static_cast<std::size_t>(before[i])])] -= 1.0;
            kept += here[i] == before[i];
        }
        const auto chosen = assign(cost, rows, columns);
        for (std::size_t r = 0; r < rows; ++r) matched -= cost[r * columns + chosen[r]];
        if (matched > kept) {
            exchange_names(known, chosen, name);
            for (std::size_t e = w * n; e < labels_.size(); ++e) {
                labels_[e] = name[static_cast<std::size_t>(labels_[e])];
            }
            gained += network_.omega[w - 1] * (matched - kept);
        }
        for (const Label label : known) place[static_cast<std::size_t>(label)] = -1;
    }
    return gained;
}

using Stack = nb::ndarray<const float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Omegas = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Seeds = nb::ndarray<const std::uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Found = nb::ndarray<std::int16_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

// Search once per seed in several threads; the result of a seed is the same whichever thread finds it.
void louvain(Stack b, Omegas omega, Seeds seeds, bool greedy, bool match, std::size_t threads, Found found) {
    const Network network{b.data(), omega.data(), b.shape(0), b.shape(1)};
    std::atomic<bool> stop{false};
    std::atomic<std::size_t> next{0}, running{threads};
    auto work = [&] {
        for (std::size_t r; !stop && (r = next++) < seeds.shape(0);) {
            Louvain search(network, greedy ? Rule::greedy : Rule::weighted, seeds.data()[r], stop);
            const auto& labels = search.run(match);
            std::int16_t* out = found.data() + r * labels.size();
            for (std::size_t e = 0; e < labels.size(); ++e) out[e] = static_cast<std::int16_t>(labels[e] + 1);
        }
        --running;
    };
    std::vector<std::thread> pool;
    for (std::size_t t = 0; t < threads; ++t) pool.emplace_back(work);
    // Ctrl-C is heard here, and ends the threads within a few moves
    bool interrupted = false;
    while (running > 0 && !interrupted) {
        {
            nb::gil_scoped_release release;
            std::this_thread::sleep_for(std::chrono::microseconds(500));
        }
        interrupted = PyErr_CheckSignals() != 0;
    }
    stop = interrupted || stop;
    {
        nb::gil_scoped_release release;
        for (auto& thread : pool) thread.join();
    }
    if (interrupted) throw nb::python_error();
}

}  // namespace

void bind_multilayer(nb::module_& m) {
    m.def("louvain", &louvain, nb::arg("b"), nb::arg("omega"), nb::arg("seeds"), nb::arg("greedy"), nb::arg("match"),
          nb::arg("threads"), nb::arg("found"),
          "Fill found (R, W, N) with communities of modularity matrices b (W, N, N), one labelling per seed (R,).");
}
