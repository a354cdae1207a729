// One window's communities, and for each the sums of B from every region: what a move would gain is read off, and a
// move adds and subtracts a row. Communities have a slot in the window, and a label that windows share.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "network.hpp"

class Layer {
public:
    // Regions with the same label share a community.
    void start(const Network& network, std::size_t w, const Label* labels) {
        network_ = &network, w_ = w, n_ = network.regions, slots_ = 0;
        label_.clear(), size_.clear(), bias_.clear(), free_.clear();
        slot_.resize(n_);
        drift_ = 0, due_ = true;
        rest_until_.assign(n_, -1);
        order_.resize(n_);
        for (std::size_t i = 0; i < n_; ++i) order_[i] = {labels[i], static_cast<std::int32_t>(i)};
        std::sort(order_.begin(), order_.end());
        for (std::size_t at = 0; at < n_; ++at) {
            if (at == 0 || order_[at].first != order_[at - 1].first) add_slot(order_[at].first);
            const auto i = static_cast<std::size_t>(order_[at].second);
            slot_[i] = static_cast<std::int32_t>(slots_ - 1);
            ++size_[slots_ - 1];
            add_row(&table_[(slots_ - 1) * n_], network.row(w, i), n_);
        }
    }

    std::size_t slots() const { return slots_; }
    Label label(std::size_t s) const { return label_[s]; }
    void set_label(std::size_t s, Label label) { label_[s] = label; }
    std::size_t slot(std::size_t i) const { return static_cast<std::size_t>(slot_[i]); }
    Label label_of(std::size_t i) const { return label_[slot(i)]; }
    const Sum* sums(std::size_t s) const { return &table_[s * n_]; }

    // Whether a region may have something to gain: not when all that has moved since it was last looked at, in this
    // window, cannot make up for what it was short of, and its copies in other windows have stayed where they were.
    bool restless(std::size_t i) const { return drift_ > rest_until_[i]; }
    void rest(std::size_t i, Sum short_of) { rest_until_[i] = drift_ + short_of; }
    void disturb(std::size_t i) { rest_until_[i] = -1, due_ = true; }
    void disturb_all() { std::fill(rest_until_.begin(), rest_until_.end(), -1), due_ = true; }
    bool take_due() { return std::exchange(due_, false); }

    void candidates(std::size_t i, const Ties& ties, Candidates& out) const {
        out.start(slots_);
        Sum* gain = out.gain.data();
        const Sum* column = table_.data() + i;
        for (std::size_t s = 0; s < slots_; ++s) gain[s] = column[s * n_] + bias_[s];
        const std::size_t own = slot(i);
        const bool kept_before = ties.before == label_[own], kept_after = ties.after == label_[own];
        gain[own] += ties.to(label_[own]);
        if (!kept_before || !kept_after) {
            std::int32_t before = -1, after = -1;
            find_two(label_.data(), padded(slots_), ties.before, ties.after, before, after);
            if (!kept_before && ties.before >= 0) out.couple(ties.before, static_cast<std::size_t>(before), ties.omega_before);
            if (!kept_after && ties.after >= 0) out.couple(ties.after, static_cast<std::size_t>(after), ties.omega_after);
        }
        out.exclude(own);
    }

    // Move region i to a candidate; `fresh` is a label that nobody has.
    void move(std::size_t i, std::size_t target, const Candidates& from, Label fresh) {
        const std::size_t old = slot(i);
        const std::size_t to = target < from.slots ? target : add_slot(from.label_outside(target, fresh));
        move_row(&table_[old * n_], &table_[to * n_], network_->row(w_, i), n_);
        if (--size_[old] == 0) bury(old);
        slot_[i] = static_cast<std::int32_t>(to);
        ++size_[to];
        drift_ += 2 * static_cast<std::int64_t>(network_->reach[w_ * n_ + i]);
        disturb(i);
    }

    // Forget slots that nobody is in.
    void compact() {
        if (free_.empty()) return;
        place_.resize(slots_);
        std::size_t kept = 0;
        for (std::size_t s = 0; s < slots_; ++s) {
            place_[s] = static_cast<std::int32_t>(kept);
            if (size_[s] > 0) keep(s, kept++, label_[s]);
        }
        shrink(kept);
    }

    // Give communities other labels; those that then have the same become one. Tells whether any did.
    template <class Rename>
    bool rename(Rename&& name) {
        place_.resize(slots_);
        std::size_t kept = 0;
        for (std::size_t s = 0; s < slots_; ++s) {
            const Label label = name(label_[s]);
            const auto end = label_.begin() + static_cast<std::ptrdiff_t>(kept);
            const auto to = static_cast<std::size_t>(std::find(label_.begin(), end, label) - label_.begin());
            place_[s] = static_cast<std::int32_t>(to);
            if (to == kept) {
                keep(s, kept++, label);
            } else {
                add_row(&table_[to * n_], &table_[s * n_], n_);
                size_[to] += size_[s];
            }
        }
        const bool joined = kept < slots_;
        shrink(kept);
        return joined;
    }

private:
    // A slot with a row of zeros.
    std::size_t add_slot(Label label) {
        std::size_t s = slots_;
        if (free_.empty()) {
            ++slots_;
            size_.resize(slots_), bias_.resize(slots_), label_.resize(padded(slots_), -1);
            if (table_.size() < slots_ * n_) table_.resize(std::max(slots_ * n_, table_.size() * 3 / 2));
            std::fill_n(&table_[s * n_], n_, 0);
        } else {
            s = static_cast<std::size_t>(free_.back());
            free_.pop_back();
        }
        label_[s] = label, size_[s] = 0, bias_[s] = 0;
        return s;
    }

    void bury(std::size_t s) {
        label_[s] = -1, bias_[s] = kNever;
        free_.push_back(static_cast<std::int32_t>(s));
    }

    void keep(std::size_t s, std::size_t to, Label label) {
        label_[to] = label, size_[to] = size_[s], bias_[to] = 0;
        if (to != s) std::copy_n(&table_[s * n_], n_, &table_[to * n_]);
    }

    void shrink(std::size_t kept) {
        for (auto& s : slot_) s = place_[static_cast<std::size_t>(s)];
        slots_ = kept;
        size_.resize(kept), bias_.resize(kept), label_.resize(kept), label_.resize(padded(kept), -1);
        free_.clear();
    }

    const Network* network_ = nullptr;
    std::size_t w_ = 0, n_ = 0, slots_ = 0;
    std::vector<Label> label_;  // of each slot, padded with -1; also -1 where nobody is
    std::vector<std::int32_t> size_, slot_, free_, place_;
    std::vector<Sum> table_;  // (slots, regions), sums of B
    std::vector<Sum> bias_;   // kNever hides what is empty
    std::vector<std::int64_t> rest_until_;
    std::vector<std::pair<Label, std::int32_t>> order_;
    std::int64_t drift_ = 0;  // bounds how much the gains of any region have changed
    bool due_ = true;
};
