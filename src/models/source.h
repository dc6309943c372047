#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/url.h"

namespace plexus::models {

inline constexpr std::string_view default_hub = "https://huggingface.co";
inline constexpr std::size_t max_shards = 512;

/// Where a model is fetched from.
struct Source {
    std::vector<Url> files;  ///< one, or all shards in their order
    std::string name;        ///< what it is called in the store unless told otherwise; a usable name
    std::string origin;      ///< for people: as it was given, without what follows a '?'

    /// May lie on this device or in a private network: the owner wrote such an address.
    bool is_private = false;
};

/// What `pull` was given: an address, "hf:org/repo/file.gguf[@revision]", or a name of the list (suggestions.h).
///
/// A file named …-00001-of-00003.gguf stands for all its shards. Addresses begin with https, or with http if they lead to
/// "localhost" or are written as a private address. `hub` is where hf: leads.
/// Errors: `malformed`, `not_found` for a name that the list has not.
Result<Source> find_source(std::string_view text, Url const& hub);

/// True for "localhost" and for addresses, written as numbers, that are not public.
bool is_private_host(Url const& url);

/// The place of a file in a set of shards, by its name: "big-00002-of-00003.gguf" is {"big", 2, 3}.
struct ShardName {
    std::string base;
    std::size_t number = 0;  ///< from 1
    std::size_t count = 0;

    /// Nothing for a file that stands alone, or counts that make no sense.
    static std::optional<ShardName> parse(std::string_view file);
    std::string file(std::size_t number_of_shard) const;
};

}  // namespace plexus::models
