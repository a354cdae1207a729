#include "search.hpp"

#include <algorithm>

#include "matching.hpp"

namespace {

// Windows with more communities than this, on average, have no tables yet: reading one would take too long.
constexpr std::size_t kCrowded = 96;

// Passes over all regions in which communities are parted.
constexpr int kRefinements = 3;

// The ties of region i in window w to its copies in the windows before and after.
template <class Windows>
Ties ties_of(const Network& network, const Windows& windows, std::size_t w, std::size_t i) {
    const bool first = w == 0, last = w + 1 == windows.size();
    return {first ? -1 : windows[w - 1].label_of(i), last ? -1 : windows[w + 1].label_of(i),
            first ? 0 : network.omega[w - 1], last ? 0 : network.omega[w]};
}

void count_up(std::vector<std::size_t>& order, std::size_t n) {
    order.resize(n);
    for (std::size_t k = 0; k < n; ++k) order[k] = k;
}

}  // namespace

std::vector<Label> Search::run(std::uint64_t seed) {
    random_ = Random(seed);
    start();
    while (!stop_) {
        std::int64_t gained = move_regions();
        gained += settings_.method == Method::leiden ? refine_and_merge() : merge_communities();
        if (settings_.match && !stop_) gained += match_windows();
        if (gained == 0) break;
    }
    auto found = labels();
    number_labels(found);
    return found;
}

template <class Visit>
void Search::visit_windows(Visit&& visit) {
    count_up(order_, network_.windows);
    random_.shuffle(order_);
    for (const std::size_t w : order_) visit(w);
}

template <class Visit>
void Search::visit_regions(std::size_t w, Visit&& visit) {
    count_up(regions_, network_.regions);
    random_.shuffle(regions_);
    for (std::size_t k = 0; k < regions_.size(); ++k) {
        if (k + 2 < regions_.size()) network_.fetch(w, regions_[k + 2]);
        visit(regions_[k]);
    }
}

// From one community per region and window to few enough for tables.
void Search::start() {
    for (std::size_t w = 0; w < network_.windows; ++w) crowds_[w].start(network_, w);
    next_label_ = static_cast<Label>(network_.windows * network_.regions);
    std::size_t before = 2 * network_.windows * network_.regions, communities = before / 2;
    // where communities stay many, tables will have to be large
    while (communities > kCrowded * network_.windows && 10 * communities < 9 * before && !stop_) {
        before = communities, communities = 0;
        visit_windows([&](std::size_t w) {
            if (stop_) return;
            visit_regions(w, [&](std::size_t i) { move_in_crowd(w, i); });
            communities += crowds_[w].communities();
        });
    }
    std::vector<Label> labels(network_.regions);
    for (std::size_t w = 0; w < network_.windows; ++w) {
        for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = crowds_[w].label_of(i);
        layers_[w].start(network_, w, labels.data());
    }
}

void Search::move_in_crowd(std::size_t w, std::size_t i) {
    Crowd& crowd = crowds_[w];
    crowd.candidates(i, ties_of(network_, crowds_, w, i), candidates_);
    const auto target = choose();
    if (!target) return;
    crowd.move(i, *target, candidates_, next_label_);
    next_label_ += *target == candidates_.alone();
}

// Move regions, window by window in random order, as long as any gains.
std::int64_t Search::move_regions() {
    std::int64_t gained = 0;
    for (std::int64_t last = 1; last > 0 && !stop_; gained += last) {
        last = 0;
        visit_windows([&](std::size_t w) {
            if (!layers_[w].take_due()) return;
            visit_regions(w, [&](std::size_t i) {
                if (layers_[w].restless(i)) last += move_region(w, i);
            });
        });
        for (auto& layer : layers_) layer.compact();
    }
    return gained;
}

std::int64_t Search::move_region(std::size_t w, std::size_t i) {
    Layer& layer = layers_[w];
    layer.candidates(i, ties_of(network_, layers_, w, i), candidates_);
    const auto target = choose();
    if (!target) {
        layer.rest(i, candidates_.own + network_.least - tally_.highest);
        return 0;
    }
    layer.move(i, *target, candidates_, next_label_);
    next_label_ += *target == candidates_.alone();
    if (w > 0) layers_[w - 1].disturb(i);
    if (w + 1 < layers_.size()) layers_[w + 1].disturb(i);
    return candidates_.gain[*target] - candidates_.own;
}

// The best candidate, or one at random weighted by its gain, if any gains.
std::optional<std::size_t> Search::choose() {
    const Sum* gain = candidates_.gain.data();
    const std::size_t size = candidates_.size();
    tally(gain, size, candidates_.own, network_.least, tally_);
    if (tally_.highest - candidates_.own <= network_.least) return {};
    if (settings_.rule == Rule::greedy) return static_cast<std::size_t>(std::max_element(gain, gain + size) - gain);
    double total = 0.0;
    for (const float lane : tally_.lane) total += static_cast<double>(lane);
    double left = random_.uniform() * total;
    std::size_t q = 0, found = 0;
    while (q + 1 < kLanes && left >= static_cast<double>(tally_.lane[q])) left -= static_cast<double>(tally_.lane[q++]);
    // rounding may have led past the last lane that holds anything
    while (tally_.lane[q] == 0.0f) --q;
    for (std::size_t at = q; at < size; at += kLanes) {
        const Sum more = gain[at] - candidates_.own;
        if (more <= network_.least) continue;
        found = at;
        left -= static_cast<double>(more);
        if (left < 0.0) break;
    }
    return found;
}

// Give the communities of all windows the labels 0..K-1 and return the labels that they had.
std::vector<Label> Search::number_communities() {
    std::vector<Label> number(static_cast<std::size_t>(next_label_), -1);
    std::vector<Label> had;
    for (auto& layer : layers_) {
        for (std::size_t s = 0; s < layer.slots(); ++s) {
            Label& label = number[static_cast<std::size_t>(layer.label(s))];
            if (label < 0) label = static_cast<Label>(had.size()), had.push_back(layer.label(s));
            layer.set_label(s, label);
        }
    }
    next_label_ = static_cast<Label>(had.size());
    return had;
}

// Make communities nodes, join nodes, and so on until no join gains.
std::int64_t Search::merge_communities() {
    const std::size_t communities = number_communities().size();
    std::vector<Label> alone(communities), member;
    for (std::size_t k = 0; k < communities; ++k) alone[k] = static_cast<Label>(k);
    const std::int64_t gained = join_nodes(graph_of(network_, layers_, communities), alone, member);
    if (gained == 0) return 0;
    rename(member);
    return gained;
}

// Give communities 0..K-1 other labels. Regions whose window or ties have changed are to be looked at again.
void Search::rename(const std::vector<Label>& name) {
    for (std::size_t w = 1; w < layers_.size(); ++w) {
        for (std::size_t i = 0; i < network_.regions; ++i) {
            if (layers_[w].label_of(i) != layers_[w - 1].label_of(i)) layers_[w].disturb(i), layers_[w - 1].disturb(i);
        }
    }
    for (auto& layer : layers_) {
        if (layer.rename([&](Label label) { return name[static_cast<std::size_t>(label)]; })) layer.disturb_all();
    }
}

// Move nodes between groups, make the groups nodes, and so on; tells in which group each node of the first graph ends.
std::int64_t Search::join_nodes(Graph graph, std::vector<Label> group, std::vector<Label>& member) {
    member.resize(graph.nodes());
    for (std::size_t k = 0; k < member.size(); ++k) member[k] = static_cast<Label>(k);
    std::int64_t gained = 0;
    while (!stop_) {
        const std::int64_t gain = move_nodes(graph, group, settings_.rule, network_.least, random_);
        gained += gain;
        const auto groups = static_cast<std::size_t>(number_labels(group));
        const bool joined = groups < graph.nodes();
        for (auto& m : member) m = group[static_cast<std::size_t>(m)];
        if (!joined) break;
        graph = graph_of_groups(graph, group, groups);
        group.resize(groups);
        for (std::size_t k = 0; k < groups; ++k) group[k] = static_cast<Label>(k);
    }
    return gained;
}

std::int64_t Search::match_windows() {
    std::int64_t gained = 0;
    Matching matching(number_communities().size());
    for (std::size_t w = 1; w < layers_.size(); ++w) {
        const std::size_t kept = matching.step(layers_[w - 1], layers_[w], network_.regions);
        gained += network_.whole_omega[w - 1] * static_cast<std::int64_t>(kept);
        if (kept > 0) layers_[w].disturb_all(), layers_[w - 1].disturb_all();
    }
    return gained;
}

std::vector<Label> Search::labels() const {
    std::vector<Label> out;
    out.reserve(layers_.size() * network_.regions);
    for (const auto& layer : layers_) {
        for (std::size_t i = 0; i < network_.regions; ++i) out.push_back(layer.label_of(i));
    }
    return out;
}

// Part the communities into those that hold together by themselves, make these nodes, and join nodes anew from the
// communities that they came from.
std::int64_t Search::refine_and_merge() {
    number_communities();
    for (std::size_t w = 0; w < network_.windows; ++w) crowds_[w].start_within(network_, w, layers_[w]);
    next_label_ = static_cast<Label>(network_.windows * network_.regions);
    int pass = 0;
    for (std::int64_t last = 1; last > 0 && pass < kRefinements && !stop_; ++pass) {
        last = 0;
        visit_windows([&](std::size_t w) {
            visit_regions(w, [&](std::size_t i) { last += refine(w, i); });
        });
    }
    std::vector<Label> whole(static_cast<std::size_t>(next_label_)), labels(network_.regions);
    for (std::size_t w = 0; w < network_.windows; ++w) {
        for (std::size_t i = 0; i < labels.size(); ++i) {
            labels[i] = crowds_[w].label_of(i);
            whole[static_cast<std::size_t>(labels[i])] = layers_[w].label_of(i);
        }
        layers_[w].start(network_, w, labels.data());
    }
    std::vector<Label> group, member;
    for (const Label label : number_communities()) group.push_back(whole[static_cast<std::size_t>(label)]);
    const std::int64_t gained = join_nodes(graph_of(network_, layers_, group.size()), group, member);
    rename(member);
    return gained;
}

std::int64_t Search::refine(std::size_t w, std::size_t i) {
    Crowd& crowd = crowds_[w];
    Ties ties = ties_of(network_, crowds_, w, i);
    const Label whole = layers_[w].label_of(i);
    if (w > 0 && layers_[w - 1].label_of(i) != whole) ties.before = -1;
    if (w + 1 < layers_.size() && layers_[w + 1].label_of(i) != whole) ties.after = -1;
    crowd.candidates(i, ties, candidates_);
    const auto target = choose();
    if (!target) return 0;
    crowd.move(i, *target, candidates_, next_label_);
    next_label_ += *target == candidates_.alone();
    return 1;
}
