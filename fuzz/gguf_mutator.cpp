#include "gguf_mutator.h"

#include <ggml.h>

#include <algorithm>
#include <array>
#include <bit>

namespace plexus::fuzz {

namespace {

constexpr auto value_sizes = std::array<std::size_t, 13>{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
constexpr std::uint32_t text_type = 8;
constexpr std::uint32_t array_type = 9;
constexpr std::size_t alignment = 32;

/// What architectures of llama.cpp ask for; a dot in front stands for the name of the architecture.
constexpr auto keys = std::array<std::string_view, 62>{".context_length",
                                                       ".embedding_length",
                                                       ".block_count",
                                                       ".feed_forward_length",
                                                       ".attention.head_count",
                                                       ".attention.head_count_kv",
                                                       ".attention.key_length",
                                                       ".attention.value_length",
                                                       ".attention.key_length_mla",
                                                       ".attention.value_length_mla",
                                                       ".attention.key_length_swa",
                                                       ".attention.value_length_swa",
                                                       ".attention.sliding_window",
                                                       ".attention.sliding_window_pattern",
                                                       ".attention.group_norm_groups",
                                                       ".attention.q_lora_rank",
                                                       ".attention.kv_lora_rank",
                                                       ".attention.layer_norm_epsilon",
                                                       ".attention.layer_norm_rms_epsilon",
                                                       ".attention.clamp_kqv",
                                                       ".attention.causal",
                                                       ".attention.max_alibi_bias",
                                                       ".attention.scale",
                                                       ".attention.shared_kv_layers",
                                                       ".rope.dimension_count",
                                                       ".rope.dimension_count_swa",
                                                       ".rope.dimension_sections",
                                                       ".rope.freq_base",
                                                       ".rope.scaling.type",
                                                       ".rope.scaling.factor",
                                                       ".rope.scaling.original_context_length",
                                                       ".expert_count",
                                                       ".expert_used_count",
                                                       ".expert_shared_count",
                                                       ".expert_group_count",
                                                       ".expert_group_used_count",
                                                       ".expert_feed_forward_length",
                                                       ".expert_shared_feed_forward_length",
                                                       ".expert_gating_func",
                                                       ".expert_weights_scale",
                                                       ".leading_dense_block_count",
                                                       ".interleave_moe_layer_step",
                                                       ".moe_every_n_layers",
                                                       ".nextn_predict_layers",
                                                       ".pooling_type",
                                                       ".vocab_size",
                                                       ".use_parallel_residual",
                                                       ".logit_scale",
                                                       ".full_attention_interval",
                                                       ".ssm.conv_kernel",
                                                       ".ssm.inner_size",
                                                       ".ssm.state_size",
                                                       ".ssm.time_step_rank",
                                                       ".ssm.group_count",
                                                       ".shortconv.l_cache",
                                                       ".classifier.output_labels",
                                                       "general.alignment",
                                                       "general.name",
                                                       "general.file_type",
                                                       "tokenizer.ggml.pre",
                                                       "tokenizer.ggml.add_bos_token",
                                                       "tokenizer.ggml.token_type_count"};

constexpr auto words = std::array<std::string_view, 26>{
    "llama",     "gpt2",  "bert",         "t5",     "gemma4", "rwkv", "plamo2",   "none",        "default",
    "llama-bpe", "qwen2", "deepseek-llm", "phi-3",  "linear", "yarn", "longrope", "<s>",         "</s>",
    "<0x0A>",    "\n",    "<|end|>",      "[MASK]", "a b",    "",     "\xff",     "\xe2\x96\x81"};

class Choice {
public:
    explicit Choice(std::minstd_rand& random) : random_(random) {}

    std::size_t below(std::size_t limit) { return limit == 0 ? 0 : random_() % limit; }
    bool one_in(std::size_t count) { return below(count) == 0; }

    std::uint64_t number()
    {
        constexpr auto usual = std::array<std::uint64_t, 22>{
            0,  1,  2,   3,   4,   5,   7,   8,          16,         31,         32,
            33, 64, 127, 128, 256, 512, 513, 0x7fffffff, 0x80000000, 0xffffffff, UINT64_MAX};
        return one_in(4) ? below(100) : usual[below(usual.size())];
    }

    template <typename List>
    auto& of(List& list)
    {
        return list[below(list.size())];
    }

private:
    std::minstd_rand& random_;
};

Bytes text_value(std::string_view text)
{
    auto bytes = Bytes(8);
    store_little_endian<std::uint64_t>(bytes.data(), text.size());
    append(bytes, as_view(text));
    return bytes;
}

template <typename T>
Bytes number_value(T number)
{
    auto bytes = Bytes(sizeof(T));
    store_little_endian(bytes.data(), number);
    return bytes;
}

Bytes value_of(Choice& choice, std::uint32_t type)
{
    if (type == text_type) {
        return text_value(choice.of(words));
    }
    auto bytes = number_value(choice.number());
    if (type == 6) {
        bytes = number_value(std::bit_cast<std::uint32_t>(static_cast<float>(choice.number())));
    }
    bytes.resize(value_sizes[type]);
    if (type == 7) {
        bytes[0] &= std::byte{1};
    }
    return bytes;
}

Bytes array_of(Choice& choice, std::uint32_t type)
{
    auto const count = choice.below(9);
    auto bytes = concatenate({number_value(type), number_value<std::uint64_t>(count)});
    for (std::size_t index = 0; index < count; ++index) {
        append(bytes, value_of(choice, type));
    }
    return bytes;
}

/// Nothing when the value is broken.
std::optional<std::size_t> size_of_value(ByteView rest, std::uint32_t type)
{
    if (type > 12) {
        return std::nullopt;
    }
    if (type == text_type) {
        auto const length = rest.size() >= 8 ? load_little_endian<std::uint64_t>(rest.data()) : UINT64_MAX;
        return length <= rest.size() - std::min<std::size_t>(8, rest.size()) ? std::optional(8 + length) : std::nullopt;
    }
    if (type != array_type) {
        return value_sizes[type] <= rest.size() ? std::optional(value_sizes[type]) : std::nullopt;
    }
    if (rest.size() < 12) {
        return std::nullopt;
    }
    auto const element = load_little_endian<std::uint32_t>(rest.data());
    auto const count = load_little_endian<std::uint64_t>(rest.data() + 4);
    auto size = std::size_t{12};
    for (std::uint64_t index = 0; index < count && element != array_type; ++index) {
        auto const more = size_of_value(rest.subspan(size), element);
        if (!more) {
            return std::nullopt;
        }
        size += *more;
    }
    return size;
}

void change_bytes(Choice& choice, Bytes& bytes, std::size_t from)
{
    if (bytes.size() > from) {
        bytes[from + choice.below(bytes.size() - from)] = static_cast<std::byte>(choice.number());
    }
}

void change_entry(Choice& choice, GgufParts& parts)
{
    auto& entry = choice.of(parts.entries);
    switch (choice.below(5)) {
    case 0:
        entry.value = entry.type == array_type ? array_of(choice, static_cast<std::uint32_t>(choice.below(13)))
                                               : value_of(choice, entry.type);
        break;
    case 1: change_bytes(choice, entry.value, entry.type == text_type ? 8 : entry.type == array_type ? 12 : 0); break;
    case 2:
        entry.type = static_cast<std::uint32_t>(choice.below(13));
        entry.value = entry.type == array_type ? array_of(choice, static_cast<std::uint32_t>(choice.below(13)))
                                               : value_of(choice, entry.type);
        break;
    case 3:
        std::swap(entry, parts.entries.back());
        parts.entries.pop_back();
        break;
    default:
        entry.value = entry.type == array_type && entry.value.size() > 4 && entry.value[0] != std::byte{array_type}
                          ? array_of(choice, load_little_endian<std::uint32_t>(entry.value.data()) % 9)
                          : entry.value;
        break;
    }
}

void add_entry(Choice& choice, GgufParts& parts)
{
    auto architecture = std::string("llama");
    for (auto const& entry : parts.entries) {
        if (entry.key == "general.architecture" && entry.value.size() > 8) {
            architecture = as_text(ByteView(entry.value).subspan(8));
        }
    }
    auto const key = choice.of(keys);
    auto const type = std::array<std::uint32_t, 8>{4, 4, 4, 5, 6, 7, text_type, array_type}[choice.below(8)];
    auto entry = GgufParts::Entry{key.starts_with('.') ? architecture + std::string(key) : std::string(key), type, {}};
    entry.value = type == array_type ? array_of(choice, choice.one_in(2) ? 5 : 4) : value_of(choice, type);
    std::erase_if(parts.entries, [&](auto const& other) { return other.key == entry.key; });
    parts.entries.push_back(std::move(entry));
}

void change_tensor(Choice& choice, GgufParts& parts)
{
    auto& tensor = choice.of(parts.tensors);
    switch (choice.below(6)) {
    case 0: tensor.type = static_cast<std::uint32_t>(choice.below(43)); break;
    case 1: tensor.dimensions.resize(1 + choice.below(4), 1); break;
    case 2: tensor.dimensions.empty() ? void() : void(choice.of(tensor.dimensions) = choice.number()); break;
    case 3: std::swap(tensor, choice.of(parts.tensors)); break;
    case 4:
        std::swap(tensor, parts.tensors.back());
        parts.tensors.pop_back();
        break;
    default: std::swap(tensor.name, choice.of(parts.tensors).name); break;
    }
}

}  // namespace

GgufParts GgufParts::read(ByteView bytes)
{
    auto parts = GgufParts{};
    if (bytes.size() < 24) {
        return parts;
    }
    auto const tensor_count = load_little_endian<std::uint64_t>(bytes.data() + 8);
    auto const entry_count = load_little_endian<std::uint64_t>(bytes.data() + 16);
    auto rest = bytes.subspan(24);
    auto const text = [&]() -> std::optional<std::string> {
        auto const size = size_of_value(rest, text_type);
        if (!size) {
            return std::nullopt;
        }
        auto made = std::string(as_text(rest.subspan(8, *size - 8)));
        rest = rest.subspan(*size);
        return made;
    };
    for (std::uint64_t index = 0; index < entry_count; ++index) {
        auto key = text();
        if (!key || rest.size() < 4) {
            return parts;
        }
        auto const type = load_little_endian<std::uint32_t>(rest.data());
        rest = rest.subspan(4);
        auto const size = size_of_value(rest, type);
        if (!size) {
            return parts;
        }
        parts.entries.push_back({std::move(*key), type, to_bytes(rest.first(*size))});
        rest = rest.subspan(*size);
    }
    for (std::uint64_t index = 0; index < tensor_count; ++index) {
        auto name = text();
        auto const count = name && rest.size() >= 4 ? load_little_endian<std::uint32_t>(rest.data()) : UINT32_MAX;
        if (count > 4 || rest.size() < 4 + count * 8 + 12) {
            return parts;
        }
        auto tensor = Tensor{std::move(*name), {}, load_little_endian<std::uint32_t>(rest.data() + 4 + count * 8)};
        for (std::uint32_t dimension = 0; dimension < count; ++dimension) {
            tensor.dimensions.push_back(load_little_endian<std::uint64_t>(rest.data() + 4 + dimension * 8));
        }
        parts.tensors.push_back(std::move(tensor));
        rest = rest.subspan(4 + count * 8 + 12);
    }
    return parts;
}

std::optional<Bytes> GgufParts::write(std::size_t limit) const
{
    auto file = concatenate({as_view("GGUF"), number_value<std::uint32_t>(3),
                             number_value<std::uint64_t>(tensors.size()), number_value<std::uint64_t>(entries.size())});
    for (auto const& entry : entries) {
        append(file, concatenate({text_value(entry.key), number_value(entry.type), entry.value}));
    }
    auto end = std::uint64_t{0};
    for (auto const& tensor : tensors) {
        append(file, concatenate({text_value(tensor.name),
                                  number_value(static_cast<std::uint32_t>(tensor.dimensions.size()))}));
        auto numbers = std::uint64_t{1};
        for (auto dimension : tensor.dimensions) {
            append(file, number_value(dimension));
            numbers = std::min<std::uint64_t>(numbers, limit) * std::min<std::uint64_t>(dimension, limit * 8);
        }
        append(file, concatenate({number_value(tensor.type), number_value(end)}));
        auto const type = tensor.type < GGML_TYPE_COUNT && ggml_blck_size(static_cast<ggml_type>(tensor.type)) > 0
                              ? static_cast<ggml_type>(tensor.type)
                              : GGML_TYPE_F32;
        end += numbers / static_cast<std::uint64_t>(ggml_blck_size(type)) * ggml_type_size(type);
        end = (end + alignment - 1) / alignment * alignment;
        if (end + file.size() > limit) {
            return std::nullopt;
        }
    }
    file.resize((file.size() + alignment - 1) / alignment * alignment + end);
    return file.size() <= limit ? std::optional(std::move(file)) : std::nullopt;
}

void GgufParts::change(std::minstd_rand& random)
{
    auto choice = Choice(random);
    auto const what = choice.below(10);
    if (what < 4 && !entries.empty()) {
        change_entry(choice, *this);
    } else if (what < 6) {
        add_entry(choice, *this);
    } else if (what < 9 && !tensors.empty()) {
        change_tensor(choice, *this);
    } else if (!tensors.empty()) {
        auto more = choice.of(tensors);
        more.name += choice.one_in(2) ? ".bias" : "2";
        tensors.push_back(std::move(more));
    }
}

}  // namespace plexus::fuzz
