#include "api/http_message.h"

#include <algorithm>

#include <fmt/format.h>

namespace plexus::api {

std::optional<std::string_view> Request::header(std::string_view name) const
{
    auto const found = std::ranges::find(headers, name, &Header::name);
    if (found == headers.end()) {
        return std::nullopt;
    }
    return found->value;
}

std::size_t Request::count(std::string_view name) const
{
    return static_cast<std::size_t>(std::ranges::count(headers, name, &Header::name));
}

std::string_view Request::path() const
{
    return std::string_view(target).substr(0, target.find('?'));
}

std::string_view Request::query() const
{
    auto const mark = target.find('?');
    return mark == std::string::npos ? std::string_view{} : std::string_view(target).substr(mark + 1);
}

std::string_view reason_of(int status)
{
    switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 507: return "Insufficient Storage";
    case 529: return "Overloaded";
    default: return "Status";
    }
}

namespace {

int hexadecimal_value(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    auto const lower = static_cast<char>(digit | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::string clean(std::string_view value)
{
    auto kept = std::string(value);
    std::erase_if(kept, [](char each) { return each == '\r' || each == '\n' || each == '\0'; });
    return kept;
}

}  // namespace

std::optional<std::string> percent_decoded(std::string_view text)
{
    auto decoded = std::string{};
    decoded.reserve(text.size());
    for (std::size_t index = 0; index < text.size(); ++index) {
        if (text[index] != '%') {
            decoded.push_back(text[index]);
            continue;
        }
        if (index + 2 >= text.size()) {
            return std::nullopt;
        }
        auto const high = hexadecimal_value(text[index + 1]);
        auto const low = hexadecimal_value(text[index + 2]);
        if (high < 0 || low < 0) {
            return std::nullopt;
        }
        decoded.push_back(static_cast<char>(high * 16 + low));
        index += 2;
    }
    return decoded;
}

std::string head_text(Response const& response, Framing framing, bool keep_alive)
{
    auto head = fmt::format("HTTP/1.1 {} {}\r\n", response.status, reason_of(response.status));
    for (auto const& header : response.headers) {
        head += fmt::format("{}: {}\r\n", header.name, clean(header.value));
    }
    if (framing == Framing::length && response.status != 204) {
        head += fmt::format("content-length: {}\r\n", response.body.size());
    } else if (framing == Framing::chunked) {
        head += "transfer-encoding: chunked\r\n";
    }
    head += keep_alive && framing != Framing::close ? "connection: keep-alive\r\n\r\n" : "connection: close\r\n\r\n";
    return head;
}

}  // namespace plexus::api
