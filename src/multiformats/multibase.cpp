#include "multiformats/multibase.h"

namespace plexus::multiformats {

namespace {

constexpr std::string_view base58_digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
constexpr std::string_view base36_digits = "0123456789abcdefghijklmnopqrstuvwxyz";
constexpr std::string_view base32_digits = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::string_view base64url_digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::string_view base64_i2p_digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-~";

std::unexpected<Error> foreign_character()
{
    return fail(ErrorKind::malformed, "the text holds a character that its encoding does not have");
}

/// Whole-number bases: the bytes are one big number; each leading zero byte is one leading zero digit.
std::string number_to_text(ByteView bytes, std::string_view digits)
{
    auto const zeros = static_cast<std::size_t>(std::ranges::find_if(bytes, [](auto byte) { return byte != std::byte{}; }) -
                                                bytes.begin());
    auto number = std::vector<unsigned>{};  // digits, lowest first
    for (auto byte : bytes.subspan(zeros)) {
        auto carry = std::to_integer<unsigned>(byte);
        for (auto& digit : number) {
            carry += digit << 8;
            digit = carry % static_cast<unsigned>(digits.size());
            carry /= static_cast<unsigned>(digits.size());
        }
        for (; carry > 0; carry /= static_cast<unsigned>(digits.size())) {
            number.push_back(carry % static_cast<unsigned>(digits.size()));
        }
    }
    auto text = std::string(zeros, digits[0]);
    for (auto digit = number.rbegin(); digit != number.rend(); ++digit) {
        text.push_back(digits[*digit]);
    }
    return text;
}

Result<Bytes> number_from_text(std::string_view text, std::string_view digits)
{
    if (text.size() > max_text) {
        return fail(ErrorKind::too_large, "the text has {} characters, at most {} are read", text.size(), max_text);
    }
    auto number = std::vector<unsigned>{};  // bytes, lowest first
    auto const zeros = std::min(text.find_first_not_of(digits[0]), text.size());
    for (auto letter : text.substr(zeros)) {
        auto const value = digits.find(letter);
        if (value == std::string_view::npos) {
            return foreign_character();
        }
        auto carry = static_cast<unsigned>(value);
        for (auto& byte : number) {
            carry += byte * static_cast<unsigned>(digits.size());
            byte = carry & 0xff;
            carry >>= 8;
        }
        for (; carry > 0; carry >>= 8) {
            number.push_back(carry & 0xff);
        }
    }
    auto bytes = Bytes(zeros);
    for (auto byte = number.rbegin(); byte != number.rend(); ++byte) {
        bytes.push_back(static_cast<std::byte>(*byte));
    }
    return bytes;
}

/// Power-of-two bases: `bits` bits a digit.
std::string bits_to_text(ByteView bytes, std::string_view digits, unsigned bits)
{
    auto text = std::string{};
    unsigned buffer = 0;
    unsigned held = 0;
    for (auto byte : bytes) {
        buffer = (buffer << 8) | std::to_integer<unsigned>(byte);
        for (held += 8; held >= bits; held -= bits) {
            text.push_back(digits[(buffer >> (held - bits)) & (digits.size() - 1)]);
        }
        buffer &= (1U << held) - 1;
    }
    if (held > 0) {
        text.push_back(digits[(buffer << (bits - held)) & (digits.size() - 1)]);
    }
    return text;
}

Result<Bytes> bits_from_text(std::string_view text, std::string_view digits, unsigned bits)
{
    if (text.size() > max_text) {
        return fail(ErrorKind::too_large, "the text has {} characters, at most {} are read", text.size(), max_text);
    }
    auto bytes = Bytes{};
    unsigned buffer = 0;
    unsigned held = 0;
    for (auto letter : text) {
        auto const value = digits.find(letter);
        if (value == std::string_view::npos) {
            return foreign_character();
        }
        buffer = (buffer << bits) | static_cast<unsigned>(value);
        held += bits;
        if (held >= 8) {
            held -= 8;
            bytes.push_back(static_cast<std::byte>(buffer >> held));
            buffer &= (1U << held) - 1;
        }
    }
    if (held >= bits || buffer != 0) {
        return fail(ErrorKind::malformed, "the text ends within a byte");
    }
    return bytes;
}

}  // namespace

std::string to_base58(ByteView bytes) { return number_to_text(bytes, base58_digits); }
Result<Bytes> from_base58(std::string_view text) { return number_from_text(text, base58_digits); }
std::string to_base36(ByteView bytes) { return number_to_text(bytes, base36_digits); }
Result<Bytes> from_base36(std::string_view text) { return number_from_text(text, base36_digits); }
std::string to_base32(ByteView bytes) { return bits_to_text(bytes, base32_digits, 5); }
Result<Bytes> from_base32(std::string_view text) { return bits_from_text(text, base32_digits, 5); }
std::string to_base64url(ByteView bytes) { return bits_to_text(bytes, base64url_digits, 6); }
Result<Bytes> from_base64url(std::string_view text) { return bits_from_text(text, base64url_digits, 6); }

std::string to_base64_i2p(ByteView bytes)
{
    auto text = bits_to_text(bytes, base64_i2p_digits, 6);
    text.append((4 - text.size() % 4) % 4, '=');
    return text;
}

Result<Bytes> from_base64_i2p(std::string_view text)
{
    auto const digits = text.substr(0, text.find_last_not_of('=') + 1);
    if (text.size() % 4 != 0 || text.size() - digits.size() > 2) {
        return fail(ErrorKind::malformed, "the text is not padded to groups of four");
    }
    return bits_from_text(digits, base64_i2p_digits, 6);
}

}  // namespace plexus::multiformats
