#include "base/result.h"

#include <array>
#include <cstdio>
#include <cstdlib>

namespace plexus {

namespace {

constexpr auto names = std::array<std::pair<ErrorKind, std::string_view>, 12>{{
    {ErrorKind::malformed, "malformed"},
    {ErrorKind::too_large, "too_large"},
    {ErrorKind::timed_out, "timed_out"},
    {ErrorKind::closed, "closed"},
    {ErrorKind::refused, "refused"},
    {ErrorKind::not_found, "not_found"},
    {ErrorKind::not_allowed, "not_allowed"},
    {ErrorKind::unavailable, "unavailable"},
    {ErrorKind::conflict, "conflict"},
    {ErrorKind::out_of_space, "out_of_space"},
    {ErrorKind::io, "io"},
    {ErrorKind::cancelled, "cancelled"},
}};

}  // namespace

std::string_view to_string(ErrorKind kind)
{
    for (auto const& [value, name] : names) {
        if (value == kind) {
            return name;
        }
    }
    return "io";
}

ErrorKind error_kind_from(std::string_view name)
{
    for (auto const& [value, known] : names) {
        if (known == name) {
            return value;
        }
    }
    return ErrorKind::io;
}

void assertion_failed(char const* condition, char const* file, int line)
{
    std::fprintf(stderr, "plexus: broken assumption: %s (%s:%d)\n", condition, file, line);
    std::abort();
}

}  // namespace plexus
