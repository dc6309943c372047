#pragma once

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
    }

    GgufBuilder& raw(std::string const& key, std::uint32_t type, Bytes value)
    {
        values_.push_back({key, type, std::move(value)});
        return *this;
    }
    GgufBuilder& text(std::string const& key, std::string_view value) { return raw(key, 8, text_bytes(value)); }
    GgufBuilder& number(std::string const& key, std::uint32_t value) { return raw(key, 4, bytes_of(value)); }
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
    std::vector<Entry> values_;
};

}  // namespace plexus::models
