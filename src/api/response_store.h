#pragma once

#include <list>
#include <map>
#include <optional>

#include <boost/json/array.hpp>

#include "base/time.h"

namespace plexus::api {

inline constexpr std::size_t max_stored_responses = 1024;
inline constexpr std::size_t max_stored_bytes = 64 << 20;
inline constexpr auto response_lifetime = std::chrono::hours(24);  ///< after its last use

/// Responses that clients can come back to, in memory. What is not used for longest goes first.
class ResponseStore {
public:
    struct Entry {
        boost::json::object response;
        boost::json::array input;   ///< items of its request
        boost::json::array before;  ///< items of the conversation before those
    };

    /// Nothing happens if the entry alone is over the limit.
    void put(std::string const& id, Entry const& entry, Time now);
    std::optional<Entry> find(std::string const& id, Time now);
    bool erase(std::string const& id, Time now);

    /// The item of a response by its id, for references to it.
    std::optional<boost::json::object> find_item(std::string_view item_id, Time now);

    std::size_t size() const { return places_.size(); }
    std::size_t bytes() const { return bytes_; }

private:
    struct Stored {
        std::string id;
        std::string response;  ///< JSON, which takes less room than values
        std::string input;
        std::string before;
        Time used;

        std::size_t bytes() const { return response.size() + input.size() + before.size(); }
    };

    /// The one of that id, which is used with this; null if there is none.
    Stored const* use(std::string_view id, Time now);
    void drop_old(Time now);
    void drop(std::list<Stored>::iterator stored);

    std::list<Stored> stored_;  ///< the last used first
    std::map<std::string, std::list<Stored>::iterator, std::less<>> places_;
    std::size_t bytes_ = 0;
};

}  // namespace plexus::api
