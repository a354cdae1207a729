// One window with many small communities, as at the start: a region's sums are taken anew whenever it is looked at.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "layer.hpp"

class Crowd {
public:
    // Every region is alone, and has its own label: windows * regions of them in all.
    void start(const Network& network, std::size_t w) {
        network_ = &network, w_ = w;
        const std::size_t n = network.regions;
        communities_ = n;
        peers_.clear();
        first_ = static_cast<Label>(w * n);
        label_.resize(n), slot_.resize(n);
        size_.assign(n, 1);
        for (std::size_t i = 0; i < n; ++i) {
            label_[i] = first_ + static_cast<Label>(i);
            slot_[i] = static_cast<std::int32_t>(i);
        }
    }

    // The same, but regions may only join those of their own community in `within`.
    void start_within(const Network& network, std::size_t w, const Layer& within) {
        start(network, w);
        begin_.assign(within.slots() + 1, 0);
        for (std::size_t i = 0; i < slot_.size(); ++i) ++begin_[within.slot(i) + 1];
        for (std::size_t s = 0; s < within.slots(); ++s) begin_[s + 1] += begin_[s];
        auto next = begin_;
        peers_.resize(slot_.size());
        for (std::size_t i = 0; i < slot_.size(); ++i) peers_[next[within.slot(i)]++] = i;
        within_ = &within;
    }

    Label label_of(std::size_t i) const { return label_[static_cast<std::size_t>(slot_[i])]; }
    std::size_t communities() const { return communities_; }

    void candidates(std::size_t i, const Ties& ties, Candidates& out) const {
        out.start(label_.size());
        Sum* gain = out.gain.data();
        const Sum* row = network_->row(w_, i);
        if (peers_.empty()) {
            std::fill_n(gain, out.slots, 0);
            for (std::size_t j = 0; j < slot_.size(); ++j) gain[slot_[j]] += row[j];
            for (std::size_t s = 0; s < out.slots; ++s) gain[s] = size_[s] > 0 ? gain[s] : kNever;
        } else {
            std::fill_n(gain, out.slots, kNever);
            const std::size_t s = within_->slot(i);
            for (std::size_t k = begin_[s]; k < begin_[s + 1]; ++k) gain[slot_[peers_[k]]] = 0;
            for (std::size_t k = begin_[s]; k < begin_[s + 1]; ++k) gain[slot_[peers_[k]]] += row[peers_[k]];
        }
        if (ties.before >= 0) couple(ties.before, ties.omega_before, out);
        if (ties.after >= 0) couple(ties.after, ties.omega_after, out);
        out.exclude(static_cast<std::size_t>(slot_[i]));
    }

    // Move region i to a candidate; `fresh` is a label that nobody has.
    void move(std::size_t i, std::size_t target, const Candidates& from, Label fresh) {
        if (target >= from.slots) target = slot_for(from.label_outside(target, fresh));
        communities_ -= --size_[static_cast<std::size_t>(slot_[i])] == 0;
        communities_ += size_[target]++ == 0;
        slot_[i] = static_cast<std::int32_t>(target);
    }

private:
    // The window's own labels have their places, others follow; one past the last for a label that is not here.
    std::size_t slot_of(Label label) const {
        const auto own = static_cast<std::ptrdiff_t>(slot_.size());
        if (label >= first_ && label - first_ < own) return static_cast<std::size_t>(label - first_);
        return static_cast<std::size_t>(std::find(label_.begin() + own, label_.end(), label) - label_.begin());
    }

    std::size_t slot_for(Label label) {
        const std::size_t s = slot_of(label);
        if (s == label_.size()) label_.push_back(label), size_.push_back(0);
        return s;
    }

    void couple(Label label, Sum omega, Candidates& out) const {
        const std::size_t s = slot_of(label);
        out.couple(label, s < out.slots && size_[s] > 0 ? s : out.slots, omega);
    }

    const Network* network_ = nullptr;
    std::size_t w_ = 0, communities_ = 0;
    Label first_ = 0;
    const Layer* within_ = nullptr;
    std::vector<std::size_t> begin_, peers_;  // regions by their community in `within`; none: all are peers
    std::vector<Label> label_;                // of each slot
    std::vector<std::int32_t> slot_, size_;  // of each region; of each slot
};
