// The search for communities of greatest temporal modularity, from one seed.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "crowd.hpp"
#include "graph.hpp"
#include "layer.hpp"
#include "random.hpp"

enum class Method { louvain, leiden };

struct Settings {
    Method method;
    Rule rule;
    bool match;  // rename communities from window to window so that labels persist
};

// Room for one search, used again for the next.
class Search {
public:
    Search(const Network& network, const Settings& settings, const std::atomic<bool>& stop)
        : network_(network), settings_(settings), stop_(stop), random_(0), crowds_(network.windows),
          layers_(network.windows) {}

    // Iterate from one community per region and window until nothing is gained; labels 0..K-1 (windows * regions).
    std::vector<Label> run(std::uint64_t seed);

private:
    void start();
    void move_in_crowd(std::size_t w, std::size_t i);
    std::int64_t move_regions();
    std::int64_t move_region(std::size_t w, std::size_t i);
    std::optional<std::size_t> choose();
    template <class Visit>
    void visit_windows(Visit&& visit);
    template <class Visit>
    void visit_regions(std::size_t w, Visit&& visit);
    std::int64_t merge_communities();
    std::int64_t join_nodes(Graph graph, std::vector<Label> group, std::vector<Label>& member);
    std::vector<Label> number_communities();
    void rename(const std::vector<Label>& name);
    std::int64_t refine_and_merge();
    std::int64_t refine(std::size_t w, std::size_t i);
    std::int64_t match_windows();
    std::vector<Label> labels() const;

    const Network& network_;
    Settings settings_;
    const std::atomic<bool>& stop_;
    Random random_;
    std::vector<Crowd> crowds_;
    std::vector<Layer> layers_;
    Label next_label_ = 0;
    std::vector<std::size_t> order_, regions_;
    Candidates candidates_;
    Tally tally_;
};
