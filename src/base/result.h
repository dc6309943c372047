#pragma once

#include <expected>
#include <fmt/format.h>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace plexus {

/// What a caller can do about a failure. The text says what happened; the kind decides what happens next.
enum class ErrorKind {
    malformed,     ///< input breaks its format; the sender or file is at fault, close or refuse
    too_large,     ///< input or request is over a named limit
    timed_out,     ///< the deadline passed
    closed,        ///< the other side, stream or process has gone
    refused,       ///< the other side understood and said no
    not_found,     ///< the named thing does not exist here
    not_allowed,   ///< no right to it: key not in the log, wrong token
    unavailable,   ///< cannot be done now, may be possible later: busy, full queue, no device
    conflict,      ///< clashes with what is there already
    out_of_space,  ///< disk or memory does not suffice
    io,            ///< the operating system reported a failure
    cancelled,     ///< our own side gave up on purpose
};

/// Stable lower-case name of a kind ("timed_out"), used in logs, JSON and on the wire.
std::string_view to_string(ErrorKind kind);

/// The kind of that stable name; `io` for an unknown name.
ErrorKind error_kind_from(std::string_view name);

/// A failure as a value. `text` is one plain sentence for a person; it never holds keys, prompts or documents.
struct Error {
    ErrorKind kind = ErrorKind::io;
    std::string text;

    bool operator==(Error const&) const = default;
};

template <typename T>
using Result = std::expected<T, Error>;

/// Makes the error value to return: `return fail(ErrorKind::too_large, "frame of {} bytes", count);`
template <typename... Arguments>
std::unexpected<Error> fail(ErrorKind kind, fmt::format_string<Arguments...> format, Arguments&&... arguments)
{
    return std::unexpected(Error{kind, fmt::format(format, std::forward<Arguments>(arguments)...)});
}

/// `next` applied to the value, or the same error. (The library of our compiler has no monadic std::expected yet.)
template <typename T, typename Next>
auto and_then(Result<T> result, Next next) -> std::invoke_result_t<Next, T>
{
    if (!result) {
        return std::unexpected(std::move(result.error()));
    }
    return next(std::move(*result));
}

/// As and_then, for a `next` that cannot fail.
template <typename T, typename Next>
auto transform(Result<T> result, Next next) -> Result<std::invoke_result_t<Next, T>>
{
    if (!result) {
        return std::unexpected(std::move(result.error()));
    }
    return next(std::move(*result));
}

[[noreturn]] void assertion_failed(char const* condition, char const* file, int line);

}  // namespace plexus

/// Ends the program when one of our own assumptions is broken. Never used on input from outside.
#define PLEXUS_ASSERT(condition) \
    ((condition) ? static_cast<void>(0) : ::plexus::assertion_failed(#condition, __FILE__, __LINE__))
