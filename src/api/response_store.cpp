#include "api/response_store.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "api/json_fields.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

json::value parsed(std::string const& text)
{
    auto options = json::parse_options{};
    options.max_depth = 2 * max_json_depth;
    return json::parse(text, {}, options);
}

std::optional<json::object> item_of(json::array const& items, std::string_view id)
{
    for (auto const& item : items) {
        if (text_of(item.as_object(), "id") == id) {
            return item.as_object();
        }
    }
    return std::nullopt;
}

}  // namespace

void ResponseStore::put(std::string const& id, Entry const& entry, Time now)
{
    erase(id, now);
    auto stored = Stored{id, json::serialize(entry.response), json::serialize(entry.input),
                         json::serialize(entry.before), now};
    if (stored.bytes() > max_stored_bytes) {
        return;
    }
    bytes_ += stored.bytes();
    stored_.push_front(std::move(stored));
    places_[id] = stored_.begin();
    drop_old(now);
}

ResponseStore::Stored const* ResponseStore::use(std::string_view id, Time now)
{
    drop_old(now);
    auto const place = places_.find(id);
    if (place == places_.end()) {
        return nullptr;
    }
    place->second->used = now;
    stored_.splice(stored_.begin(), stored_, place->second);
    return &stored_.front();
}

std::optional<ResponseStore::Entry> ResponseStore::find(std::string const& id, Time now)
{
    auto const* stored = use(id, now);
    if (stored == nullptr) {
        return std::nullopt;
    }
    return Entry{parsed(stored->response).as_object(), parsed(stored->input).as_array(),
                 parsed(stored->before).as_array()};
}

bool ResponseStore::erase(std::string const& id, Time now)
{
    drop_old(now);
    auto const place = places_.find(id);
    if (place == places_.end()) {
        return false;
    }
    drop(place->second);
    return true;
}

std::optional<json::object> ResponseStore::find_item(std::string_view item_id, Time now)
{
    // Ids of items are KIND_SUFFIX_NUMBER, that of their response is resp_SUFFIX.
    auto const begin = item_id.find('_');
    auto const end = item_id.rfind('_');
    if (begin == std::string_view::npos || end <= begin) {
        return std::nullopt;
    }
    auto const* stored = use(fmt::format("resp_{}", item_id.substr(begin + 1, end - begin - 1)), now);
    if (stored == nullptr) {
        return std::nullopt;
    }
    auto found = item_of(parsed(stored->response).at("output").as_array(), item_id);
    return found ? found : item_of(parsed(stored->input).as_array(), item_id);
}

void ResponseStore::drop_old(Time now)
{
    while (!stored_.empty() && (stored_.size() > max_stored_responses || bytes_ > max_stored_bytes ||
                                now - stored_.back().used > response_lifetime)) {
        drop(std::prev(stored_.end()));
    }
}

void ResponseStore::drop(std::list<Stored>::iterator stored)
{
    bytes_ -= stored->bytes();
    places_.erase(stored->id);
    stored_.erase(stored);
}

}  // namespace plexus::api
