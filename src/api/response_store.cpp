#include "api/response_store.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "api/json_fields.h"

namespace plexus::api {

namespace json = boost::json;

void ResponseStore::put(std::string const& id, Entry const& entry, Time now)
{
    erase(id, now);
    auto text = json::serialize(
        json::object{{"response", entry.response}, {"input", entry.input}, {"before", entry.before}});
    if (text.size() > max_stored_bytes) {
        return;
    }
    bytes_ += text.size();
    stored_.push_front({id, std::move(text), now});
    places_[id] = stored_.begin();
    drop_old(now);
}

std::optional<ResponseStore::Entry> ResponseStore::find(std::string const& id, Time now)
{
    drop_old(now);
    auto const place = places_.find(id);
    if (place == places_.end()) {
        return std::nullopt;
    }
    place->second->used = now;
    stored_.splice(stored_.begin(), stored_, place->second);
    auto options = json::parse_options{};
    options.max_depth = 2 * max_json_depth;
    auto const value = json::parse(place->second->text, {}, options);
    return Entry{value.at("response").as_object(), value.at("input").as_array(), value.at("before").as_array()};
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
    auto const entry = find(fmt::format("resp_{}", item_id.substr(begin + 1, end - begin - 1)), now);
    auto const* output = entry ? entry->response.if_contains("output") : nullptr;
    if (output == nullptr || !output->is_array()) {
        return std::nullopt;
    }
    for (auto const* items : {&output->get_array(), &entry->input}) {
        for (auto const& item : *items) {
            if (item.is_object() && text_of(item.get_object(), "id") == item_id) {
                return item.get_object();
            }
        }
    }
    return std::nullopt;
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
    bytes_ -= stored->text.size();
    places_.erase(stored->id);
    stored_.erase(stored);
}

}  // namespace plexus::api
