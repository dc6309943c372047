#pragma once

#include <algorithm>
#include <bit>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/env.h"

namespace plexus::models {

/// A file in memory.
class MemoryFile final : public File {
public:
    explicit MemoryFile(Bytes bytes) : bytes_(std::move(bytes)) {}
    std::uint64_t size() const override { return bytes_.size(); }
    int descriptor() const override { return -1; }
    Result<std::size_t> read_at(std::uint64_t offset, MutableByteView target) const override
    {
        auto const count = offset >= bytes_.size() ? 0 : std::min<std::size_t>(target.size(), bytes_.size() - offset);
        if (count > 0) {
            std::memcpy(target.data(), bytes_.data() + offset, count);
        }
        return count;
    }

private:
    Bytes bytes_;
};

/// Writes GGUF files, right and wrong ones.
class GgufBuilder {
public:
    struct Tensor {
        std::string name = "weight";
        std::vector<std::uint64_t> dimensions = {32, 2};
        std::uint32_t type = 0;
        std::uint64_t offset = 0;
    };

    std::uint32_t version = 3;
    std::optional<std::uint64_t> tensor_count{};
    std::optional<std::uint64_t> value_count{};
    std::vector<Tensor> tensors = {Tensor{}};
    std::size_t data_bytes = 256;
    std::uint64_t alignment = 32;

    GgufBuilder()
    {
        text("general.architecture", "llama");
        text("tokenizer.chat_template", "{{ messages }}");
        number("llama.context_length", 2048);
        number("llama.embedding_length", 32);
        number("llama.block_count", 1);
        number("llama.attention.head_count", 4);
    }

    GgufBuilder& raw(std::string const& key, std::uint32_t type, Bytes value)
    {
        values_.push_back({key, type, std::move(value)});
        return *this;
    }
    /// These replace what has the same key.
    GgufBuilder& text(std::string const& key, std::string_view value) { return set(key, 8, text_bytes(value)); }
    GgufBuilder& number(std::string const& key, std::uint32_t value) { return set(key, 4, bytes_of(value)); }
    GgufBuilder& real(std::string const& key, float value)
    {
        return set(key, 6, bytes_of(std::bit_cast<std::uint32_t>(value)));
    }
    GgufBuilder& flag(std::string const& key, bool value) { return set(key, 7, Bytes{std::byte{value}}); }
    GgufBuilder& array(std::string const& key, std::uint32_t type, std::uint64_t count, ByteView elements = {})
    {
        return set(key, 9, concatenate({bytes_of(type), bytes_of(count), elements}));
    }
    GgufBuilder& numbers(std::string const& key, std::vector<std::uint32_t> const& values, std::uint32_t type = 4)
    {
        return array(key, type, values.size(), std::as_bytes(std::span(values)));
    }
    GgufBuilder& texts(std::string const& key, std::vector<std::string> const& values)
    {
        auto elements = Bytes{};
        for (auto const& value : values) {
            append(elements, text_bytes(value));
        }
        return array(key, 8, values.size(), elements);
    }
    GgufBuilder& remove(std::string const& key)
    {
        std::erase_if(values_, [&](Entry const& entry) { return entry.key == key; });
        return *this;
    }
    GgufBuilder& clear()
    {
        values_.clear();
        return *this;
    }

    template <typename T>
    static Bytes bytes_of(T value)
    {
        auto bytes = Bytes(sizeof(T));
        store_little_endian(bytes.data(), value);
        return bytes;
    }

    static Bytes text_bytes(std::string_view value)
    {
        return concatenate({bytes_of<std::uint64_t>(value.size()), as_view(value)});
    }

    Bytes build() const
    {
        auto file = to_bytes("GGUF");
        append(file, bytes_of(version));
        append(file, bytes_of<std::uint64_t>(tensor_count.value_or(tensors.size())));
        append(file, bytes_of<std::uint64_t>(value_count.value_or(values_.size())));
        for (auto const& [key, type, value] : values_) {
            append(file, text_bytes(key));
            append(file, bytes_of(type));
            append(file, value);
        }
        for (auto const& tensor : tensors) {
            append(file, text_bytes(tensor.name));
            append(file, bytes_of(static_cast<std::uint32_t>(tensor.dimensions.size())));
            for (auto dimension : tensor.dimensions) {
                append(file, bytes_of(dimension));
            }
            append(file, bytes_of(tensor.type));
            append(file, bytes_of(tensor.offset));
        }
        file.resize((file.size() + alignment - 1) / alignment * alignment);
        file.resize(file.size() + data_bytes);
        return file;
    }

private:
    struct Entry {
        std::string key;
        std::uint32_t type;
        Bytes value;
    };

    GgufBuilder& set(std::string const& key, std::uint32_t type, Bytes value)
    {
        auto const found = std::ranges::find(values_, key, &Entry::key);
        if (found == values_.end()) {
            return raw(key, type, std::move(value));
        }
        *found = {key, type, std::move(value)};
        return *this;
    }

    std::vector<Entry> values_;
};

/// Puts the tensors one behind the other and makes room for their data, 4 bytes a number.
inline void lay_out(GgufBuilder& builder)
{
    auto end = std::uint64_t{0};
    for (auto& tensor : builder.tensors) {
        tensor.offset = end;
        auto bytes = std::uint64_t{4};
        for (auto dimension : tensor.dimensions) {
            bytes *= dimension;
        }
        end += (bytes + builder.alignment - 1) / builder.alignment * builder.alignment;
    }
    builder.data_bytes = end;
}

/// The smallest whole model: Llama of one layer, width 8, two heads, seven tokens. llama.cpp loads it.
inline GgufBuilder tiny_llama()
{
    auto builder = GgufBuilder{};
    builder.number("llama.embedding_length", 8)
        .number("llama.attention.head_count", 2)
        .number("llama.feed_forward_length", 8);
    builder.real("llama.attention.layer_norm_rms_epsilon", 1e-5F).text("tokenizer.ggml.model", "llama");
    builder.texts("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "<0x0A>", "a", "b", "ab"});
    builder.numbers("tokenizer.ggml.scores", std::vector<std::uint32_t>(7), 6);
    builder.numbers("tokenizer.ggml.token_type", {2, 3, 3, 6, 1, 1, 1}, 5);
    builder.tensors = {{.name = "token_embd.weight", .dimensions = {8, 7}},
                       {.name = "output_norm.weight", .dimensions = {8}}};
    for (auto const* row : {"attn_norm", "ffn_norm"}) {
        builder.tensors.push_back({.name = fmt::format("blk.0.{}.weight", row), .dimensions = {8}});
    }
    for (auto const* matrix : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_down", "ffn_up"}) {
        builder.tensors.push_back({.name = fmt::format("blk.0.{}.weight", matrix), .dimensions = {8, 8}});
    }
    lay_out(builder);
    return builder;
}

/// Shard `index` of `count`, with one tensor, named after it, whose bytes are all `index + 1`.
inline Bytes shard_of(std::uint16_t index, std::uint16_t count)
{
    auto builder = GgufBuilder();
    if (index > 0) {
        builder.clear();
    }
    builder.raw("split.no", 2, GgufBuilder::bytes_of(index))
        .raw("split.count", 2, GgufBuilder::bytes_of(count))
        .raw("split.tensors.count", 5, GgufBuilder::bytes_of<std::uint32_t>(count));
    builder.tensors.front().name = fmt::format("blk.{}.weight", index);
    auto bytes = builder.build();
    std::fill(bytes.end() - 256, bytes.end(), static_cast<std::byte>(index + 1));
    return bytes;
}

}  // namespace plexus::models
