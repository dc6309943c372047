#include "json_edit.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace plexus::cli {

namespace json = boost::json;

namespace {

constexpr std::size_t max_depth = 64;

/// Where a value stands in the text, and where what it holds does.
struct Node {
    struct Child {
        std::size_t begin = 0;  ///< of the key, or of the element
        std::string key{};
        std::size_t value = 0;  ///< index of its node
        std::size_t comma = 0;  ///< place of the comma behind it; 0 if there is none
    };
    enum class Kind { object, array, scalar } kind = Kind::scalar;
    std::size_t begin = 0;
    std::size_t end = 0;  ///< behind the last byte
    std::vector<Child> children{};
};

class Document {
public:
    static Result<Document> read(std::string_view text)
    {
        if (text.size() > max_edited_bytes) {
            return fail(ErrorKind::too_large, "the file has {} bytes, at most {} are read", text.size(),
                        max_edited_bytes);
        }
        auto document = Document(text);
        if (!document.value(0) || !document.skip_blank() || document.place_ != text.size()) {
            return fail(ErrorKind::malformed, "the file is not JSON at byte {}", document.place_);
        }
        return document;
    }

    Node const& root() const { return nodes_.front(); }
    Node const& node(std::size_t index) const { return nodes_[index]; }

private:
    explicit Document(std::string_view text) : text_(text) {}

    bool at(char symbol) const { return place_ < text_.size() && text_[place_] == symbol; }

    /// White space and comments.
    bool skip_blank()
    {
        for (;;) {
            while (place_ < text_.size() && std::string_view(" \t\r\n\xEF\xBB\xBF").contains(text_[place_])) {
                ++place_;
            }
            auto const rest = text_.substr(place_);
            if (rest.starts_with("//")) {
                place_ = std::min(text_.find('\n', place_), text_.size());
            } else if (rest.starts_with("/*")) {
                auto const end = text_.find("*/", place_ + 2);
                if (end == std::string_view::npos) {
                    return false;
                }
                place_ = end + 2;
            } else {
                return true;
            }
        }
    }

    bool string(std::string& content)
    {
        auto const begin = place_;
        for (++place_; place_ < text_.size() && text_[place_] != '"'; ++place_) {
            place_ += text_[place_] == '\\' ? 1 : 0;
        }
        if (place_ >= text_.size()) {
            return false;
        }
        ++place_;
        auto code = boost::system::error_code{};
        auto const value = json::parse(text_.substr(begin, place_ - begin), code);
        if (code || !value.is_string()) {
            return false;
        }
        content = value.get_string();
        return true;
    }

    bool scalar()
    {
        auto const begin = place_;
        if (at('"')) {
            auto content = std::string{};
            return string(content);
        }
        place_ = std::min(text_.find_first_of(",]} \t\r\n/", place_), text_.size());
        auto code = boost::system::error_code{};
        std::ignore = json::parse(text_.substr(begin, place_ - begin), code);
        return !code;
    }

    bool child(std::size_t parent, std::size_t depth)
    {
        auto made = Node::Child{.begin = place_};
        if (nodes_[parent].kind == Node::Kind::object) {
            if (!at('"') || !string(made.key) || !skip_blank() || !at(':')) {
                return false;
            }
            ++place_;
        }
        made.value = nodes_.size();
        if (!value(depth + 1) || !skip_blank()) {
            return false;
        }
        if (at(',')) {
            made.comma = place_++;
        }
        nodes_[parent].children.push_back(std::move(made));
        return true;
    }

    bool value(std::size_t depth)
    {
        if (depth > max_depth || !skip_blank() || place_ >= text_.size()) {
            return false;
        }
        auto const index = nodes_.size();
        auto const open = text_[place_];
        auto const kind = open == '{' ? Node::Kind::object : open == '[' ? Node::Kind::array : Node::Kind::scalar;
        nodes_.push_back({.kind = kind, .begin = place_});
        if (kind == Node::Kind::scalar) {
            if (!scalar()) {
                return false;
            }
        } else {
            auto const close = kind == Node::Kind::object ? '}' : ']';
            ++place_;
            while (skip_blank() && !at(close)) {
                auto const& before = nodes_[index].children;
                if ((!before.empty() && before.back().comma == 0) || !child(index, depth)) {
                    return false;
                }
            }
            if (!at(close)) {
                return false;
            }
            ++place_;
        }
        nodes_[index].end = place_;
        return true;
    }

    std::string_view text_;
    std::size_t place_ = 0;
    std::vector<Node> nodes_;
};

std::string indent(std::size_t level)
{
    return std::string(level * 2, ' ');
}

Node::Child const* find(Node const& node, std::string_view key)
{
    auto const found = std::ranges::find(node.children, key, &Node::Child::key);
    return found == node.children.end() ? nullptr : &*found;
}

/// The text with `entry` as last child of `node`, which stands at `level`.
std::string appended(Document const& document, std::string_view text, Node const& node, std::string const& entry,
                     std::size_t level)
{
    auto const line = "\n" + indent(level + 1) + entry;
    auto whole = std::string(text);
    if (node.children.empty()) {
        auto const is_bare = text.substr(node.begin + 1, node.end - node.begin - 2).find_first_not_of(" \t\r\n") ==
                             std::string_view::npos;
        auto const ending = "\n" + indent(level);
        return is_bare ? whole.replace(node.begin + 1, node.end - node.begin - 2, line + ending)
                       : whole.insert(node.begin + 1, line);
    }
    auto const& last = node.children.back();
    return last.comma != 0 ? whole.insert(last.comma + 1, line)
                           : whole.insert(document.node(last.value).end, "," + line);
}

std::string replaced(std::string_view text, Node const& node, std::string const& value)
{
    return std::string(text).replace(node.begin, node.end - node.begin, value);
}

/// Takes a child out, with its line and the comma that it no longer needs.
std::string removed(Document const& document, std::string_view text, Node const& parent, Node::Child const& child)
{
    auto whole = std::string(text);
    auto const place = static_cast<std::size_t>(&child - parent.children.data());
    auto end = child.comma != 0 ? child.comma + 1 : document.node(child.value).end;
    auto begin = child.begin;
    while (begin > 0 && std::string_view(" \t\r\n").contains(whole[begin - 1])) {
        --begin;
    }
    if (child.comma == 0 && place > 0) {
        begin = std::min(begin, parent.children[place - 1].comma);
    }
    if (parent.children.size() == 1 && end < whole.size()) {
        end = std::max(end, std::min(whole.find_first_not_of(" \t\r\n", end), whole.size()));
    }
    return whole.erase(begin, end - begin);
}

}  // namespace

std::string pretty(json::value const& value, std::size_t level)
{
    auto text = std::string{};
    if (value.is_object() && !value.get_object().empty()) {
        for (auto const& member : value.get_object()) {
            text += fmt::format("{}\n{}{}: {}", text.empty() ? "" : ",", indent(level + 1),
                                json::serialize(json::string(member.key())), pretty(member.value(), level + 1));
        }
        return fmt::format("{{{}\n{}}}", text, indent(level));
    }
    if (value.is_array() && !value.get_array().empty()) {
        for (auto const& element : value.get_array()) {
            text += fmt::format("{}\n{}{}", text.empty() ? "" : ",", indent(level + 1), pretty(element, level + 1));
        }
        return fmt::format("[{}\n{}]", text, indent(level));
    }
    return json::serialize(value);
}

Result<std::string> with_member(std::string_view text, std::vector<std::string> const& path, json::value const& value)
{
    auto const whole = text.find_first_not_of(" \t\r\n") == std::string_view::npos ? std::string_view("{}\n") : text;
    auto const document = Document::read(whole);
    if (!document) {
        return std::unexpected(document.error());
    }
    auto const* at = &document->root();
    for (std::size_t level = 0; level < path.size(); ++level) {
        if (at->kind != Node::Kind::object) {
            return fail(ErrorKind::conflict, "{} in the file is not an object",
                        level == 0 ? "what is" : path[level - 1]);
        }
        auto const* child = find(*at, path[level]);
        if (child == nullptr) {
            auto made = value;
            for (auto rest = path.size() - 1; rest > level; --rest) {
                made = json::object{{path[rest], std::move(made)}};
            }
            auto const entry = json::serialize(json::string(path[level])) + ": " + pretty(made, level + 1);
            return appended(*document, whole, *at, entry, level);
        }
        at = &document->node(child->value);
    }
    return replaced(whole, *at, pretty(value, path.size()));
}

Result<std::string> without_member(std::string_view text, std::vector<std::string> const& path)
{
    auto const document = Document::read(text);
    if (!document) {
        return std::unexpected(document.error());
    }
    auto const* at = &document->root();
    for (std::size_t level = 0; level < path.size(); ++level) {
        auto const* child = at->kind == Node::Kind::object ? find(*at, path[level]) : nullptr;
        if (child == nullptr) {
            return std::string(text);
        }
        if (level + 1 == path.size()) {
            return removed(*document, text, *at, *child);
        }
        at = &document->node(child->value);
    }
    return std::string(text);
}

namespace {

Node::Child const* find_element(Document const& document, std::string_view text, std::string_view name)
{
    for (auto const& element : document.root().children) {
        auto const& node = document.node(element.value);
        auto const* member = node.kind == Node::Kind::object ? find(node, "name") : nullptr;
        if (member == nullptr) {
            continue;
        }
        auto const& value = document.node(member->value);
        if (text.substr(value.begin, value.end - value.begin) == json::serialize(json::string(name))) {
            return &element;
        }
    }
    return nullptr;
}

}  // namespace

Result<std::string> with_element(std::string_view text, json::object const& value)
{
    auto const whole = text.find_first_not_of(" \t\r\n") == std::string_view::npos ? std::string_view("[]\n") : text;
    auto const document = Document::read(whole);
    if (!document) {
        return std::unexpected(document.error());
    }
    if (document->root().kind != Node::Kind::array) {
        return fail(ErrorKind::conflict, "what is in the file is not a list");
    }
    if (auto const* element = find_element(*document, whole, value.at("name").as_string())) {
        return replaced(whole, document->node(element->value), pretty(value, 1));
    }
    return appended(*document, whole, document->root(), pretty(value, 1), 0);
}

Result<std::string> without_element(std::string_view text, std::string_view name)
{
    auto const document = Document::read(text);
    if (!document) {
        return std::unexpected(document.error());
    }
    auto const* element = find_element(*document, text, name);
    return element == nullptr ? std::string(text) : removed(*document, text, document->root(), *element);
}

}  // namespace plexus::cli
