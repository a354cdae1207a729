#include "graph.hpp"

#include <algorithm>

namespace {

// One entry of a list of links in any order, with any repetition.
struct Entry {
    Label from;
    Link link;
};

// Sort entries by where they come from, and sum those of a pair.
Graph merged(const std::vector<Entry>& entries, std::size_t nodes) {
    std::vector<std::size_t> begin(nodes + 1, 0);
    for (const Entry& entry : entries) ++begin[static_cast<std::size_t>(entry.from) + 1];
    for (std::size_t k = 0; k < nodes; ++k) begin[k + 1] += begin[k];
    std::vector<Link> sorted(entries.size());
    std::vector<std::size_t> next(begin.begin(), begin.end() - 1);
    for (const Entry& entry : entries) sorted[next[static_cast<std::size_t>(entry.from)]++] = entry.link;
    Graph graph;
    graph.begin.reserve(nodes + 1), graph.links.reserve(entries.size());
    graph.begin.push_back(0);
    std::vector<std::size_t> place(nodes, 0);  // where a neighbour stands among this node's links, plus one
    for (std::size_t k = 0; k < nodes; ++k) {
        const std::size_t first = graph.links.size();
        for (std::size_t e = begin[k]; e < begin[k + 1]; ++e) {
            std::size_t& at = place[static_cast<std::size_t>(sorted[e].to)];
            if (at > first) {
                graph.links[at - 1].weight += sorted[e].weight;
            } else {
                graph.links.push_back(sorted[e]);
                at = graph.links.size();
            }
        }
        graph.begin.push_back(graph.links.size());
    }
    return graph;
}

void add_window(const Layer& layer, std::size_t regions, std::vector<std::int64_t>& between, std::vector<Entry>& out) {
    const std::size_t slots = layer.slots();
    for (std::size_t s = 0; s < slots; ++s) {
        between.assign(slots, 0);
        const Sum* sums = layer.sums(s);
        for (std::size_t i = 0; i < regions; ++i) between[layer.slot(i)] += sums[i];
        for (std::size_t t = 0; t < slots; ++t) {
            if (s != t) out.push_back({layer.label(s), {layer.label(t), between[t]}});
        }
    }
}

void add_coupling(const Layer& before, const Layer& here, std::size_t regions, std::int64_t omega,
                  std::vector<std::int64_t>& both, std::vector<Entry>& out) {
    both.assign(before.slots() * here.slots(), 0);
    for (std::size_t i = 0; i < regions; ++i) ++both[before.slot(i) * here.slots() + here.slot(i)];
    for (std::size_t s = 0; s < before.slots(); ++s) {
        for (std::size_t t = 0; t < here.slots(); ++t) {
            const std::int64_t regions_in_both = both[s * here.slots() + t];
            const Label a = before.label(s), b = here.label(t);
            if (regions_in_both == 0 || a == b) continue;
            out.push_back({a, {b, omega * regions_in_both}});
            out.push_back({b, {a, omega * regions_in_both}});
        }
    }
}

// Collects what a node would gain by each move and chooses one: the best, or one at random weighted by its gain.
class Choice {
public:
    Choice(Rule rule, std::int64_t least) : rule_(rule), least_(least) {}
    void clear() { moves_.clear(), total_ = 0.0; }
    void offer(Label to, std::int64_t gain) {
        if (gain <= least_) return;
        moves_.push_back({to, gain});
        total_ += static_cast<double>(gain);
    }
    bool any() const { return !moves_.empty(); }
    Link take(Random& random) const {
        if (rule_ == Rule::greedy) {
            return *std::max_element(moves_.begin(), moves_.end(),
                                     [](const Link& a, const Link& b) { return a.weight < b.weight; });
        }
        double left = random.uniform() * total_;
        for (const Link& move : moves_) {
            left -= static_cast<double>(move.weight);
            if (left < 0.0) return move;
        }
        return moves_.back();
    }

private:
    Rule rule_;
    std::int64_t least_;
    std::vector<Link> moves_;
    double total_ = 0.0;
};

}  // namespace

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

Graph graph_of(const Network& network, const std::vector<Layer>& layers, std::size_t communities) {
    std::vector<Entry> entries;
    std::vector<std::int64_t> sums;
    for (std::size_t w = 0; w < layers.size(); ++w) {
        add_window(layers[w], network.regions, sums, entries);
        if (w > 0) add_coupling(layers[w - 1], layers[w], network.regions, network.whole_omega[w - 1], sums, entries);
    }
    return merged(entries, communities);
}

Graph graph_of_groups(const Graph& graph, const std::vector<Label>& group, std::size_t groups) {
    std::vector<Entry> entries;
    entries.reserve(graph.links.size());
    for (std::size_t k = 0; k < graph.nodes(); ++k) {
        for (std::size_t e = graph.begin[k]; e < graph.begin[k + 1]; ++e) {
            const Label to = group[static_cast<std::size_t>(graph.links[e].to)];
            if (to != group[k]) entries.push_back({group[k], {to, graph.links[e].weight}});
        }
    }
    return merged(entries, groups);
}

std::int64_t move_nodes(const Graph& graph, std::vector<Label>& group, Rule rule, std::int64_t least, Random& random) {
    const std::size_t nodes = graph.nodes();
    std::vector<std::size_t> order(nodes);
    for (std::size_t k = 0; k < nodes; ++k) order[k] = k;
    std::vector<std::int64_t> weight(nodes, 0);
    std::vector<char> met(nodes, 0);
    std::vector<Label> near;
    Choice choice(rule, least);
    std::int64_t gained = 0;
    for (std::int64_t last = 1; last > 0; gained += last) {
        last = 0;
        random.shuffle(order);
        for (const std::size_t k : order) {
            near.clear();
            for (std::size_t e = graph.begin[k]; e < graph.begin[k + 1]; ++e) {
                const Label to = group[static_cast<std::size_t>(graph.links[e].to)];
                if (!met[static_cast<std::size_t>(to)]) met[static_cast<std::size_t>(to)] = 1, near.push_back(to);
                weight[static_cast<std::size_t>(to)] += graph.links[e].weight;
            }
            const std::int64_t own = weight[static_cast<std::size_t>(group[k])];
            choice.clear();
            for (const Label to : near) {
                if (to != group[k]) choice.offer(to, weight[static_cast<std::size_t>(to)] - own);
                weight[static_cast<std::size_t>(to)] = 0, met[static_cast<std::size_t>(to)] = 0;
            }
            if (!choice.any()) continue;
            const Link move = choice.take(random);
            group[k] = move.to;
            last += move.weight;
        }
    }
    return gained;
}
