#pragma once

#include <concepts>
#include <optional>

namespace plexus {

/// Sum, difference and product that never wrap: nothing if the true value does not fit T.
/// Every size that comes from a peer, a file or a client is computed with these.
template <std::integral T>
constexpr std::optional<T> checked_add(T left, T right)
{
    T value{};
    if (__builtin_add_overflow(left, right, &value)) {
        return std::nullopt;
    }
    return value;
}

template <std::integral T>
constexpr std::optional<T> checked_subtract(T left, T right)
{
    T value{};
    if (__builtin_sub_overflow(left, right, &value)) {
        return std::nullopt;
    }
    return value;
}

template <std::integral T>
constexpr std::optional<T> checked_multiply(T left, T right)
{
    T value{};
    if (__builtin_mul_overflow(left, right, &value)) {
        return std::nullopt;
    }
    return value;
}

/// The same number as another integer type, or nothing if it does not fit.
template <std::integral To, std::integral From>
constexpr std::optional<To> checked_cast(From value)
{
    To converted{};
    if (__builtin_add_overflow(value, From{}, &converted)) {
        return std::nullopt;
    }
    return converted;
}

}  // namespace plexus
