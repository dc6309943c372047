#include <numeric>

#include "models/gguf.h"
#include "models/gguf_rules.h"

namespace plexus::models {

namespace {

enum class Kind {
    attention,  // heads in every layer
    experts,    // the same, and layers of experts
    mixed,      // layers without attention among others
    mixed_experts,
};

struct Architecture {
    std::string_view name;
    Kind kind = Kind::attention;
};

constexpr auto architectures = std::array{
    Architecture{"apertus"},
    Architecture{"arcee"},
    Architecture{"baichuan"},
    Architecture{"bert"},
    Architecture{"bitnet"},
    Architecture{"bloom"},
    Architecture{"chatglm"},
    Architecture{"codeshell"},
    Architecture{"cohere2"},
    Architecture{"command-r"},
    Architecture{"ernie4_5"},
    Architecture{"exaone"},
    Architecture{"exaone4"},
    Architecture{"falcon"},
    Architecture{"gemma"},
    Architecture{"gemma-embedding"},
    Architecture{"gemma2"},
    Architecture{"gemma3"},
    Architecture{"gemma3n"},
    Architecture{"gemma4"},
    Architecture{"glm4"},
    Architecture{"gpt2"},
    Architecture{"gptneox"},
    Architecture{"granite"},
    Architecture{"hunyuan-dense"},
    Architecture{"internlm2"},
    Architecture{"jina-bert-v2"},
    Architecture{"jina-bert-v3"},
    Architecture{"llama"},
    Architecture{"llama-embed"},
    Architecture{"minicpm"},
    Architecture{"minicpm3"},
    Architecture{"mistral3"},
    Architecture{"modern-bert"},
    Architecture{"mpt"},
    Architecture{"nemotron"},
    Architecture{"nomic-bert"},
    Architecture{"nomic-bert-moe"},
    Architecture{"olmo"},
    Architecture{"olmo2"},
    Architecture{"orion"},
    Architecture{"phi2"},
    Architecture{"phi3"},
    Architecture{"qwen"},
    Architecture{"qwen2"},
    Architecture{"qwen2vl"},
    Architecture{"qwen3"},
    Architecture{"qwen3vl"},
    Architecture{"refact"},
    Architecture{"seed_oss"},
    Architecture{"smollm3"},
    Architecture{"stablelm"},
    Architecture{"starcoder"},
    Architecture{"starcoder2"},
    Architecture{"xverse"},

    Architecture{"bailingmoe2", Kind::experts},
    Architecture{"deepseek", Kind::experts},
    Architecture{"deepseek2", Kind::experts},
    Architecture{"dots1", Kind::experts},
    Architecture{"ernie4_5-moe", Kind::experts},
    Architecture{"glm4moe", Kind::experts},
    Architecture{"gpt-oss", Kind::experts},
    Architecture{"granitemoe", Kind::experts},
    Architecture{"hunyuan-moe", Kind::experts},
    Architecture{"llama4", Kind::experts},
    Architecture{"minimax-m2", Kind::experts},
    Architecture{"olmoe", Kind::experts},
    Architecture{"phimoe", Kind::experts},
    Architecture{"qwen2moe", Kind::experts},
    Architecture{"qwen3moe", Kind::experts},
    Architecture{"qwen3vlmoe", Kind::experts},

    Architecture{"falcon-h1", Kind::mixed},
    Architecture{"granitehybrid", Kind::mixed},
    Architecture{"lfm2", Kind::mixed},
    Architecture{"lfm2moe", Kind::mixed_experts},
    Architecture{"mamba", Kind::mixed},
    Architecture{"mamba2", Kind::mixed},
    Architecture{"nemotron_h", Kind::mixed},
    Architecture{"qwen35", Kind::mixed},
    Architecture{"qwen35moe", Kind::mixed_experts},
    Architecture{"qwen3next", Kind::mixed_experts},
};

struct Range {
    std::string_view key;  // behind "<architecture>."
    std::int64_t least;
    std::int64_t most;
};

constexpr std::int64_t max_layers = 512;    // of llama.cpp
constexpr std::int64_t max_experts = 1024;  // of llama.cpp
constexpr std::int64_t max_width = 1 << 20;
constexpr std::int64_t max_heads = 1 << 14;
constexpr std::int64_t max_positions = 1 << 30;

// For one number and for lists of one number a layer.
constexpr auto ranges = std::array{
    Range{"context_length", 1, max_positions},
    Range{"block_count", 1, max_layers},
    Range{"embedding_length", 1, max_width},
    Range{"embedding_length_out", 1, max_width},
    Range{"feed_forward_length", 0, max_width * 16},
    Range{"vocab_size", 1, static_cast<std::int64_t>(max_tokens)},
    Range{"pooling_type", 0, 4},
    Range{"attention.head_count", 0, max_heads},
    Range{"attention.head_count_kv", 0, max_heads},
    Range{"attention.key_length", 1, max_width},
    Range{"attention.value_length", 1, max_width},
    Range{"attention.key_length_swa", 1, max_width},
    Range{"attention.value_length_swa", 1, max_width},
    Range{"attention.key_length_mla", 0, max_width},
    Range{"attention.value_length_mla", 0, max_width},
    Range{"attention.sliding_window", 0, max_positions},
    Range{"attention.sliding_window_pattern", 0, max_layers},
    Range{"attention.group_norm_groups", 1, max_width},
    Range{"attention.q_lora_rank", 0, max_width},
    Range{"attention.kv_lora_rank", 0, max_width},
    Range{"rope.dimension_count", 0, max_width},
    Range{"rope.dimension_count_swa", 0, max_width},
    Range{"rope.scaling.original_context_length", 0, max_positions},
    Range{"expert_count", 0, max_experts},
    Range{"expert_used_count", 0, max_experts},
    Range{"expert_shared_count", 0, max_experts},
    Range{"expert_group_count", 0, max_experts},
    Range{"expert_group_used_count", 0, max_experts},
    Range{"expert_feed_forward_length", 0, max_width * 16},
    Range{"expert_gating_func", 1, 4},
    Range{"interleave_moe_layer_step", 0, max_layers},
    Range{"moe_every_n_layers", 0, max_layers},
    Range{"leading_dense_block_count", 0, max_layers},
    Range{"full_attention_interval", 1, max_layers},
    Range{"nextn_predict_layers", 0, max_layers - 1},
    Range{"ssm.conv_kernel", 1, 64},
    Range{"ssm.inner_size", 1, max_width},
    Range{"ssm.state_size", 1, max_width},
    Range{"ssm.time_step_rank", 1, max_width},
    Range{"ssm.group_count", 1, max_width},
    Range{"shortconv.l_cache", 1, 64},
    Range{"altup.num_inputs", 1, 64},
    Range{"altup.active_idx", 0, 63},
};

/// The numbers of one architecture in a file.
class Numbers {
public:
    explicit Numbers(GgufMetadata const& metadata)
        : metadata_(metadata), name_(metadata.text("general.architecture")), prefix_(name_ + ".")
    {
    }

    std::string const& architecture() const { return name_; }
    std::string key(std::string_view name) const { return prefix_ + std::string(name); }

    std::optional<std::int64_t> one(std::string_view name) const { return metadata_.integer(key(name)); }

    /// One number for all layers, or one for each; empty if there is none.
    std::vector<std::int64_t> per_layer(std::string_view name) const
    {
        auto const* value = metadata_.find(key(name));
        return value != nullptr ? value->integers : std::vector<std::int64_t>{};
    }

    Result<void> within_ranges() const;
    Result<void> layers_and_heads(Kind kind) const;
    Result<void> head_sizes() const;
    Result<void> experts(Kind kind) const;
    Result<void> rope_scaling() const;
    Result<void> of_this_architecture() const;

private:
    GgufMetadata const& metadata_;
    std::string name_;
    std::string prefix_;
};

Result<void> Numbers::within_ranges() const
{
    for (auto entry = metadata_.values.lower_bound(prefix_); entry != metadata_.values.end(); ++entry) {
        auto const& [full_key, value] = *entry;
        if (!full_key.starts_with(prefix_)) {
            break;
        }
        auto const name = std::string_view(full_key).substr(prefix_.size());
        auto const known = std::ranges::find(ranges, name, &Range::key);
        auto const least = known != ranges.end() ? known->least : INT32_MIN;
        auto const most = known != ranges.end() ? known->most : INT32_MAX;
        for (auto number : value.integers) {
            if (number < least || number > most) {
                return fail(ErrorKind::malformed, "{} is {}, it must be {} to {}", full_key, number, least, most);
            }
        }
    }
    return {};
}

Result<void> Numbers::layers_and_heads(Kind kind) const
{
    auto const layers = one("block_count");
    auto const heads = per_layer("attention.head_count");
    auto const shared = per_layer("attention.head_count_kv");
    if (!layers || !one("embedding_length") || !one("context_length")) {
        return fail(ErrorKind::malformed, "the file does not say how many layers, how wide and how long its model is");
    }
    if (one("nextn_predict_layers").value_or(0) >= *layers) {
        return fail(ErrorKind::malformed, "all {} layers are for predicting ahead", *layers);
    }
    auto const is_mixed = kind == Kind::mixed || kind == Kind::mixed_experts;
    auto const without = std::ranges::count(heads, 0) + std::ranges::count(shared, 0) > 0;
    if (!is_mixed && (heads.empty() || without)) {
        return fail(ErrorKind::malformed, "the model has layers without attention heads, which {} cannot have", name_);
    }
    for (auto const* list : {&heads, &shared}) {
        if (list->size() > 1 && std::cmp_not_equal(list->size(), *layers)) {
            return fail(ErrorKind::malformed, "head counts of {} layers stand in a file of {}", list->size(), *layers);
        }
    }
    for (std::size_t layer = 0; !shared.empty() && !heads.empty() && layer < std::max(heads.size(), shared.size());
         ++layer) {
        auto const all = heads[heads.size() > 1 ? layer : 0];
        auto const keys = shared[shared.size() > 1 ? layer : 0];
        if (all > 0 && keys > 0 && all % keys != 0) {
            return fail(ErrorKind::malformed, "{} attention heads cannot share {} heads of keys", all, keys);
        }
    }
    return {};
}

Result<void> Numbers::head_sizes() const
{
    auto const heads = per_layer("attention.head_count");
    auto const first = heads.empty() ? 0 : heads.front();
    auto const width = first > 0 ? one("embedding_length").value_or(0) / first : 0;
    auto const full = one("attention.key_length").value_or(width);
    if (first > 0 && (full == 0 || one("attention.value_length").value_or(width) == 0)) {
        return fail(ErrorKind::malformed, "{} attention heads do not fit a width of {}", first,
                    one("embedding_length").value_or(0));
    }
    auto const sizes = std::array{
        std::pair{"rope.dimension_count", full},
        std::pair{"rope.dimension_count_swa", one("attention.key_length_swa").value_or(full)}};
    auto const sections = per_layer("rope.dimension_sections");
    auto const sum = std::accumulate(sections.begin(), sections.end(), std::int64_t{0});
    if (!sections.empty() && (std::ranges::min(sections) < 0 || sum < 1 || sum > full)) {
        return fail(ErrorKind::malformed, "{} has a sum of {}, a head has {} numbers", key("rope.dimension_sections"),
                    sum, full);
    }
    for (auto const& [name, size] : sizes) {
        auto const turned = one(name).value_or(0);
        if (turned % 2 != 0 || turned > size) {
            return fail(ErrorKind::malformed, "{} is {}, it must be even and at most {}", key(name), turned, size);
        }
    }
    return {};
}

Result<void> Numbers::experts(Kind kind) const
{
    auto const count = one("expert_count").value_or(0);
    auto const used = per_layer("expert_used_count");
    auto const most = used.empty() ? 0 : std::ranges::max(used);
    auto const groups = one("expert_group_count").value_or(0);
    auto const needs_experts = kind == Kind::experts || kind == Kind::mixed_experts;
    auto const groups_used = one("expert_group_used_count").value_or(0);
    if ((needs_experts && count == 0) || most > count || (count > 0 && most == 0)) {
        return fail(ErrorKind::malformed, "the model uses {} of its {} experts", most, count);
    }
    if (needs_experts && std::ranges::count(used, 0) > 0) {
        return fail(ErrorKind::malformed, "the model has layers that use none of its {} experts", count);
    }
    auto const divides = groups <= 1 || (count % groups == 0 && groups_used > 0 && groups_used < groups);
    if (groups != 0 && (groups >= count || !divides)) {
        return fail(ErrorKind::malformed, "{} experts in {} groups, {} of them used, is impossible", count, groups,
                    groups_used);
    }
    return {};
}

Result<void> Numbers::rope_scaling() const
{
    constexpr auto kinds = std::array<std::string_view, 4>{"none", "linear", "yarn", "longrope"};
    auto const* value = metadata_.find(key("rope.scaling.type"));
    if (value != nullptr && value->is_text() && std::ranges::count(kinds, std::string_view(value->text)) == 0) {
        return fail(ErrorKind::malformed, "{} is \"{}\", which does not exist", key("rope.scaling.type"), value->text);
    }
    return {};
}

Result<void> Numbers::of_this_architecture() const
{
    auto const width = one("embedding_length").value_or(0);
    for (auto const* name : {"dense_2_feat_in", "dense_3_feat_out"}) {
        if (auto const dense = one(name).value_or(0); name_ == "gemma-embedding" && dense != 0 && dense != width) {
            return fail(ErrorKind::malformed, "{} is {}, it must be the width {}", key(name), dense, width);
        }
    }
    if (name_ == "gemma-embedding" && one("block_count").value_or(0) < 6) {
        return fail(ErrorKind::malformed, "{} must be 6 or more, every sixth layer sees all", key("block_count"));
    }
    if (name_ == "llama4" && one("block_count").value_or(0) < 4) {
        return fail(ErrorKind::malformed, "{} must be 4 or more, every fourth layer sees all", key("block_count"));
    }
    if ((name_ == "dots1" || name_ == "minimax-m2") && !one("expert_gating_func")) {
        return fail(ErrorKind::malformed, "the file does not say how experts are chosen: {}",
                    key("expert_gating_func"));
    }
    auto const heads = per_layer("attention.head_count");
    auto const full =
        one("attention.key_length").value_or(heads.empty() || heads.front() == 0 ? 0 : width / heads.front());
    auto const compressed = one("attention.key_length_mla").value_or(0);
    if ((compressed == 0) != (one("attention.value_length_mla").value_or(0) == 0)) {
        return fail(ErrorKind::malformed, "the model has compressed keys without values, or values without keys");
    }
    if (auto const turned = one("rope.dimension_count").value_or(full);
        name_ == "deepseek2" && turned >= (compressed > 0 ? compressed : full)) {
        return fail(ErrorKind::malformed, "{} is {}, no part of a head is left unturned", key("rope.dimension_count"),
                    turned);
    }
    if (name_ == "granitehybrid" && one("ssm.inner_size").value_or(0) != 2 * width) {
        return fail(ErrorKind::malformed, "{} must be twice the width {}", key("ssm.inner_size"), width);
    }
    return {};
}

}  // namespace

Result<void> check_identity(GgufMetadata const& metadata)
{
    auto const architecture = metadata.text("general.architecture");
    if (architecture.empty()) {
        return fail(ErrorKind::malformed, "the file does not name its architecture");
    }
    if (std::ranges::count(architectures, architecture, &Architecture::name) == 0) {
        return fail(ErrorKind::malformed, "the architecture \"{}\" is none that this version can run",
                    architecture.substr(0, 64));
    }
    if (auto const* type = metadata.find("general.type"); type != nullptr && metadata.text("general.type") != "model") {
        return fail(ErrorKind::malformed, "the file is no model but a \"{}\"", type->text.substr(0, 64));
    }
    if (auto const parts = metadata.integer("split.count").value_or(0); parts > 1) {
        return fail(ErrorKind::malformed, "the file is one of {} parts of a model: merge them first", parts);
    }
    if (auto const type = metadata.integer("general.file_type").value_or(0); type < 0 || type > 1023) {
        return fail(ErrorKind::malformed, "the file type {} does not exist", type);
    }
    for (auto const* key : {"general.architecture", "general.name", "tokenizer.ggml.model", "tokenizer.ggml.pre",
                            "tokenizer.chat_template"}) {
        if (auto const* value = metadata.find(key); value != nullptr && !value->is_text()) {
            return fail(ErrorKind::malformed, "metadata {} is not a text", key);
        }
    }
    return {};
}

Result<void> check_architecture(GgufMetadata const& metadata)
{
    auto const numbers = Numbers(metadata);
    auto const known = std::ranges::find(architectures, numbers.architecture(), &Architecture::name);
    PLEXUS_ASSERT(known != architectures.end());
    auto done = numbers.within_ranges();
    auto const then = [&](auto next) { done = done ? next() : done; };
    then([&] { return numbers.layers_and_heads(known->kind); });
    then([&] { return numbers.head_sizes(); });
    then([&] { return numbers.experts(known->kind); });
    then([&] { return numbers.rope_scaling(); });
    then([&] { return numbers.of_this_architecture(); });
    return done;
}

}  // namespace plexus::models
