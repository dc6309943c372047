#include "discovery/dns_message.h"

#include "base/reader.h"

namespace plexus::discovery {

namespace {

constexpr std::uint16_t response_flags = 0x8400;  // QR, AA
constexpr std::uint16_t response_bit = 0x8000;
constexpr std::uint16_t operation_bits = 0x7800;
constexpr std::uint16_t class_internet = 1;
constexpr std::uint16_t top_bit = 0x8000;  // of a class: unicast wanted, or cache flush
constexpr std::size_t max_label_bytes = 63;
constexpr unsigned pointer_bits = 0xc0;

void append_label(std::string& name, ByteView label)
{
    if (!name.empty()) {
        name += '.';
    }
    for (auto const letter : as_text(label)) {
        if (letter == '.' || letter == '\\') {
            name += '\\';
        }
        name += letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
    }
}

class Parser {
public:
    explicit Parser(ByteView message) : message_(message), reader_(message) {}

    Result<DnsMessage> parse();

private:
    Result<std::uint16_t> number() { return reader_.take_big_endian<std::uint16_t>(); }
    Result<std::string> name();
    static Result<std::size_t> pointer(BoundedReader& reader, unsigned first);
    Result<DnsQuestion> question();
    Result<void> record(std::vector<DnsRecord>& target);
    Result<std::vector<std::string>> texts(std::size_t end);

    ByteView message_;
    BoundedReader reader_;
};

/// A pointer leads to before the name it stands in, so that each is nearer to the beginning than the last.
Result<std::string> Parser::name()
{
    auto name = std::string{};
    auto size = std::size_t{1};
    auto begin = reader_.position();
    auto elsewhere = std::optional<BoundedReader>{};
    for (;;) {
        auto& reader = elsewhere ? *elsewhere : reader_;
        auto const length = reader.take_big_endian<std::uint8_t>();
        if (!length) {
            return std::unexpected(length.error());
        }
        if (*length == 0) {
            return name;
        }
        if ((*length & pointer_bits) == pointer_bits) {
            auto const target = pointer(reader, *length);
            if (!target || *target >= begin) {
                return fail(ErrorKind::malformed, "a name of a DNS message points nowhere or forward");
            }
            begin = *target;
            elsewhere.emplace(message_.subspan(begin));
            continue;
        }
        auto const label = reader.take(*length);
        size += *length + 1U;
        if (!label || *length > max_label_bytes || size > max_dns_name_bytes) {
            return fail(ErrorKind::malformed, "a name of a DNS message is cut off or too long");
        }
        append_label(name, *label);
    }
}

Result<std::size_t> Parser::pointer(BoundedReader& reader, unsigned first)
{
    auto const low = reader.take_big_endian<std::uint8_t>();
    if (!low) {
        return std::unexpected(low.error());
    }
    return (static_cast<std::size_t>(first & ~pointer_bits) << 8) | *low;
}

Result<DnsQuestion> Parser::question()
{
    auto name = this->name();
    if (!name) {
        return std::unexpected(name.error());
    }
    auto const type = number();
    auto const kind = number();
    if (!type || !kind) {
        return fail(ErrorKind::malformed, "a question of a DNS message is cut off");
    }
    return DnsQuestion{std::move(*name), *type};
}

Result<std::vector<std::string>> Parser::texts(std::size_t end)
{
    auto texts = std::vector<std::string>{};
    while (reader_.position() < end) {
        auto const length = reader_.take_big_endian<std::uint8_t>();
        if (!length || *length > end - reader_.position()) {
            return fail(ErrorKind::malformed, "a text of a DNS message is cut off");
        }
        texts.emplace_back(as_text(*reader_.take(*length)));
    }
    return texts;
}

Result<void> Parser::record(std::vector<DnsRecord>& target)
{
    auto name = this->name();
    if (!name) {
        return std::unexpected(name.error());
    }
    auto const type = number();
    auto const kind = number();
    auto const ttl = reader_.take_big_endian<std::uint32_t>();
    auto const length = number();
    if (!type || !kind || !ttl || !length || *length > reader_.remaining()) {
        return fail(ErrorKind::malformed, "a record of a DNS message is cut off");
    }
    auto const end = reader_.position() + *length;
    auto record = DnsRecord{
        .name = std::move(*name), .type = *type, .ttl_seconds = *ttl, .replaces_others = (*kind & top_bit) != 0};
    auto const is_internet = (*kind & ~top_bit) == class_internet;
    if (is_internet && *type == dns_type::ptr) {
        auto leads_to = this->name();
        if (!leads_to || reader_.position() != end) {
            return fail(ErrorKind::malformed, "a PTR record does not end with its name");
        }
        record.target = std::move(*leads_to);
    } else if (is_internet && *type == dns_type::txt) {
        auto found = texts(end);
        if (!found) {
            return std::unexpected(found.error());
        }
        record.texts = std::move(*found);
    } else {
        std::ignore = reader_.take(*length);
        return {};
    }
    target.push_back(std::move(record));
    return {};
}

Result<DnsMessage> Parser::parse()
{
    auto counts = std::array<std::size_t, 4>{};
    auto const id = number();
    auto const flags = number();
    for (auto& count : counts) {
        auto const read = number();
        if (!id || !flags || !read) {
            return fail(ErrorKind::malformed, "the head of a DNS message is cut off");
        }
        count = *read;
    }
    if (counts[0] + counts[1] + counts[2] + counts[3] > max_dns_entries) {
        return fail(ErrorKind::too_large, "a DNS message has more than {} entries", max_dns_entries);
    }
    if ((*flags & operation_bits) != 0) {
        return fail(ErrorKind::malformed, "a DNS message is neither query nor response");
    }
    auto message = DnsMessage{.is_response = (*flags & response_bit) != 0};
    for (std::size_t index = 0; index < counts[0]; ++index) {
        auto question = this->question();
        if (!question) {
            return std::unexpected(question.error());
        }
        message.questions.push_back(std::move(*question));
    }
    for (std::size_t index = 0; index < counts[1] + counts[2] + counts[3]; ++index) {
        auto const taken = record(index < counts[1] ? message.answers : message.additionals);
        if (!taken) {
            return std::unexpected(taken.error());
        }
    }
    return message;
}

class Writer {
public:
    template <typename T>
    void number(T value)
    {
        auto bytes = std::array<std::byte, sizeof(T)>{};
        store_big_endian(bytes.data(), value);
        append(out_, bytes);
    }

    void text(std::string_view text)
    {
        PLEXUS_ASSERT(text.size() <= max_dns_text_bytes);
        number(static_cast<std::uint8_t>(text.size()));
        append(out_, as_view(text));
    }

    void name(std::string_view name)
    {
        auto label = std::string{};
        for (std::size_t index = 0; index < name.size(); ++index) {
            if (name[index] == '.') {
                text(std::exchange(label, {}));
                continue;
            }
            index += name[index] == '\\' && index + 1 < name.size() ? 1 : 0;
            label += name[index];
        }
        if (!label.empty()) {
            text(label);
        }
        number(std::uint8_t{0});
    }

    void record(DnsRecord const& record)
    {
        auto const content = content_of(record);
        name(record.name);
        number(record.type);
        number(static_cast<std::uint16_t>(class_internet | (record.replaces_others ? top_bit : 0)));
        number(record.ttl_seconds);
        number(static_cast<std::uint16_t>(content.size()));
        append(out_, content);
    }

    Bytes take() { return std::move(out_); }

private:
    static Bytes content_of(DnsRecord const& record)
    {
        auto content = Writer{};
        if (record.type == dns_type::srv) {
            content.number(std::uint32_t{0});  // priority, weight
            content.number(record.port);
        }
        if (record.type == dns_type::srv || record.type == dns_type::ptr) {
            content.name(record.target);
        }
        for (auto const& text : record.texts) {
            content.text(text);
        }
        if (record.address && record.address->is_v4()) {
            auto const address = record.address->to_v4().to_bytes();
            append(content.out_, std::as_bytes(std::span(address)));
        } else if (record.address) {
            auto const address = record.address->to_v6().to_bytes();
            append(content.out_, std::as_bytes(std::span(address)));
        }
        return content.take();
    }

    Bytes out_;
};

}  // namespace

Result<DnsMessage> parse_dns_message(ByteView bytes)
{
    if (bytes.size() > max_dns_message_bytes) {
        return fail(ErrorKind::too_large, "a DNS message has more than {} bytes", max_dns_message_bytes);
    }
    return Parser(bytes).parse();
}

Bytes write_dns_message(DnsMessage const& message)
{
    auto writer = Writer{};
    writer.number(std::uint16_t{0});
    writer.number(message.is_response ? response_flags : std::uint16_t{0});
    writer.number(static_cast<std::uint16_t>(message.questions.size()));
    writer.number(static_cast<std::uint16_t>(message.answers.size()));
    writer.number(std::uint16_t{0});
    writer.number(static_cast<std::uint16_t>(message.additionals.size()));
    for (auto const& question : message.questions) {
        writer.name(question.name);
        writer.number(question.type);
        writer.number(class_internet);
    }
    for (auto const* section : {&message.answers, &message.additionals}) {
        for (auto const& record : *section) {
            writer.record(record);
        }
    }
    return writer.take();
}

}  // namespace plexus::discovery
