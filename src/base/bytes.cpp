#include "base/bytes.h"

namespace plexus {

namespace {

int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    if (digit >= 'a' && digit <= 'f') {
        return digit - 'a' + 10;
    }
    if (digit >= 'A' && digit <= 'F') {
        return digit - 'A' + 10;
    }
    return -1;
}

}  // namespace

Bytes concatenate(std::initializer_list<ByteView> parts)
{
    auto whole = Bytes{};
    for (auto part : parts) {
        append(whole, part);
    }
    return whole;
}

std::string to_hex(ByteView bytes)
{
    static constexpr char digits[] = "0123456789abcdef";
    auto text = std::string{};
    text.reserve(bytes.size() * 2);
    for (auto byte : bytes) {
        text.push_back(digits[std::to_integer<unsigned>(byte) >> 4]);
        text.push_back(digits[std::to_integer<unsigned>(byte) & 15]);
    }
    return text;
}

Result<Bytes> from_hex(std::string_view text)
{
    if (text.size() % 2 != 0) {
        return fail(ErrorKind::malformed, "a hexadecimal text needs an even number of digits");
    }
    auto bytes = Bytes{};
    bytes.reserve(text.size() / 2);
    for (std::size_t index = 0; index < text.size(); index += 2) {
        auto const high = hex_value(text[index]);
        auto const low = hex_value(text[index + 1]);
        if (high < 0 || low < 0) {
            return fail(ErrorKind::malformed, "a hexadecimal text holds a character that is no digit");
        }
        bytes.push_back(static_cast<std::byte>(high * 16 + low));
    }
    return bytes;
}

bool equal_in_constant_time(ByteView left, ByteView right)
{
    if (left.size() != right.size()) {
        return false;
    }
    auto difference = std::byte{};
    for (std::size_t index = 0; index < left.size(); ++index) {
        difference |= left[index] ^ right[index];
    }
    return difference == std::byte{};
}

}  // namespace plexus
