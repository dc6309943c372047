#include "models/shards.h"

#include "base/checked.h"

namespace plexus::models {

namespace {

constexpr auto split_prefix = std::string_view("split.");

using Files = std::vector<std::shared_ptr<File const>>;

std::uint64_t padded(std::uint64_t length, std::uint64_t alignment)
{
    return (length + alignment - 1) & ~(alignment - 1);
}

/// Ranges of files, and bytes in memory, one behind the other.
class JoinedFile final : public File {
public:
    std::uint64_t size() const override { return size_; }
    int descriptor() const override { return -1; }

    Result<std::size_t> read_at(std::uint64_t offset, MutableByteView target) const override
    {
        std::size_t done = 0;
        while (done < target.size() && offset + done < size_) {
            auto const read = read_part(offset + done, target.subspan(done));
            if (!read || *read == 0) {
                return read ? Result<std::size_t>(done) : read;
            }
            done += *read;
        }
        return done;
    }

    void add(Bytes bytes)
    {
        auto const length = bytes.size();
        add({.begin = size_, .length = length, .bytes = std::move(bytes)});
    }
    void add(std::shared_ptr<File const> file, std::uint64_t offset, std::uint64_t length)
    {
        add({.begin = size_, .length = length, .file = std::move(file), .offset = offset});
    }
    void pad(std::uint64_t alignment) { add(Bytes(static_cast<std::size_t>(padded(size_, alignment) - size_))); }

private:
    struct Part {
        std::uint64_t begin = 0;
        std::uint64_t length = 0;
        std::shared_ptr<File const> file{};  ///< null: `bytes`
        std::uint64_t offset = 0;
        Bytes bytes{};
    };

    void add(Part part)
    {
        if (part.length > 0) {
            size_ += part.length;
            parts_.push_back(std::move(part));
        }
    }

    Result<std::size_t> read_part(std::uint64_t offset, MutableByteView target) const
    {
        auto const behind = std::ranges::upper_bound(parts_, offset, {}, &Part::begin);
        auto const& part = *std::prev(behind);
        auto const within = offset - part.begin;
        auto const count = static_cast<std::size_t>(std::min<std::uint64_t>(target.size(), part.length - within));
        if (part.file) {
            return part.file->read_at(part.offset + within, target.first(count));
        }
        std::copy_n(part.bytes.begin() + static_cast<std::ptrdiff_t>(within), count, target.begin());
        return count;
    }

    std::vector<Part> parts_;
    std::uint64_t size_ = 0;
};

template <typename T>
void append_number(Bytes& target, T value)
{
    auto const at = target.size();
    target.resize(at + sizeof(T));
    store_little_endian(target.data() + at, value);
}

void append_text(Bytes& target, std::string_view text)
{
    append_number<std::uint64_t>(target, text.size());
    append(target, as_view(text));
}

/// True if a shard says nothing else than that it is this one of so many.
bool is_shard(GgufHeader const& header, File const& file, std::size_t index, std::size_t count)
{
    return header.number(file, "split.no") == index && header.number(file, "split.count") == count;
}

Result<std::vector<GgufHeader>> read_headers(Files const& shards)
{
    auto headers = std::vector<GgufHeader>{};
    std::uint64_t tensors = 0;
    for (std::size_t index = 0; index < shards.size(); ++index) {
        auto header = read_gguf_header(*shards[index]);
        if (!header) {
            return fail(header.error().kind, "shard {}: {}", index + 1, header.error().text);
        }
        if (!is_shard(*header, *shards[index], index, shards.size())) {
            return fail(ErrorKind::malformed, "shard {} does not say that it is number {} of {}", index + 1, index + 1,
                        shards.size());
        }
        if (index > 0 && header->alignment != headers.front().alignment) {
            return fail(ErrorKind::malformed, "shard {} has another alignment than the first", index + 1);
        }
        tensors += header->tensors.size();
        headers.push_back(std::move(*header));
    }
    if (tensors > max_tensors ||
        headers.front().number(*shards.front(), "split.tensors.count").value_or(tensors) != tensors) {
        return fail(ErrorKind::malformed, "the shards hold {} tensors, and the first says another number", tensors);
    }
    return headers;
}

/// The tensors of all shards as they lie in the joined data.
Result<Bytes> tensor_table(std::vector<GgufHeader> const& headers)
{
    auto table = Bytes{};
    std::uint64_t base = 0;
    for (auto const& header : headers) {
        for (auto const& tensor : header.tensors) {
            auto const offset = checked_add(base, tensor.offset);
            if (!offset) {
                return fail(ErrorKind::malformed, "tensor {} lies beyond every file", tensor.name);
            }
            append_text(table, tensor.name);
            append_number(table, static_cast<std::uint32_t>(tensor.dimensions.size()));
            for (auto const dimension : tensor.dimensions) {
                append_number(table, dimension);
            }
            append_number(table, tensor.type);
            append_number(table, *offset);
        }
        base += padded(header.data_length, header.alignment);
    }
    return table;
}

}  // namespace

Result<std::shared_ptr<File const>> join_shards(std::vector<std::shared_ptr<File const>> const& shards)
{
    PLEXUS_ASSERT(!shards.empty());
    auto const headers = read_headers(shards);
    if (!headers) {
        return std::unexpected(headers.error());
    }
    auto const table = tensor_table(*headers);
    if (!table) {
        return std::unexpected(table.error());
    }
    auto const& first = headers->front();
    auto const is_kept = [](GgufHeader::Value const& value) { return !value.key.starts_with(split_prefix); };
    auto tensors = std::uint64_t{0};
    for (auto const& header : *headers) {
        tensors += header.tensors.size();
    }
    auto file = std::make_shared<JoinedFile>();
    auto begin = to_bytes("GGUF");
    append_number(begin, first.version);
    append_number(begin, tensors);
    append_number(begin, static_cast<std::uint64_t>(std::ranges::count_if(first.values, is_kept)));
    file->add(std::move(begin));
    for (auto const& value : first.values) {
        if (is_kept(value)) {
            auto key = Bytes{};
            append_text(key, value.key);
            append_number(key, value.type);
            file->add(std::move(key));
            file->add(shards.front(), value.offset, value.length);
        }
    }
    file->add(*table);
    file->pad(first.alignment);
    for (std::size_t index = 0; index < shards.size(); ++index) {
        auto const& header = (*headers)[index];
        file->add(shards[index], header.data_begin, header.data_length);
        file->pad(first.alignment);
    }
    return std::shared_ptr<File const>(std::move(file));
}

}  // namespace plexus::models
