// The network of communities that generalised Louvain makes of windows: nodes are communities, links sum B and couplings.
#pragma once

#include <cstdint>
#include <vector>

#include "layer.hpp"
#include "random.hpp"

enum class Rule { greedy, weighted };

struct Link {
    Label to;
    std::int64_t weight;
};

// Rows of links, none of a node to itself, none listed twice.
struct Graph {
    std::vector<std::size_t> begin;
    std::vector<Link> links;
    std::size_t nodes() const { return begin.size() - 1; }
};

// Give labels the numbers 0..K-1 in the order of their first appearance, and return K.
Label number_labels(std::vector<Label>& labels);

// The communities of all layers, whose labels are 0..communities-1, as nodes.
Graph graph_of(const Network& network, const std::vector<Layer>& layers, std::size_t communities);

// The groups 0..groups-1 of a graph's nodes as nodes.
Graph graph_of_groups(const Graph& graph, const std::vector<Label>& group, std::size_t groups);

// Move nodes between groups (one for each node at most) until none gains more than `least`; returns what was gained.
std::int64_t move_nodes(const Graph& graph, std::vector<Label>& group, Rule rule, std::int64_t least, Random& random);
