#pragma once

#include "models/source.h"
#include "models/store.h"

namespace plexus::models {

inline constexpr unsigned max_redirects = 8;
/// Times in a row that fetching goes on after an error without a new byte, with longer and longer rests between.
inline constexpr unsigned max_fruitless_attempts = 5;

struct DownloadOptions {
    std::filesystem::path authorities{};  ///< HttpRequest::authorities
};

struct DownloadProgress {
    std::uint64_t done_bytes = 0;
    std::uint64_t total_bytes = 0;
};

/// A file as its server describes it.
struct RemoteFile {
    std::uint64_t size_bytes = 0;
    std::string tag;  ///< strong entity tag; empty if there is none
    std::optional<ModelDigest> digest{};  ///< as X-Linked-ETag says
    bool has_ranges = false;
};

/// Fetches one file into a partial of the store, and goes on where an earlier attempt ended, in this process or another.
///
/// Every redirect is judged: https only, and to public addresses only, unless `is_private`. The file is asked about
/// first, by a range of one byte. Bytes that have another entity tag than those that are here are another file and begin
/// anew.
class Download {
public:
    using Progress = std::function<void(DownloadProgress)>;

    Download(Env& env, Store& store, DownloadOptions options, Url url, bool is_private);

    /// Size, tag and digest. Errors: `not_found`, `not_allowed` (login wanted, address not public, certificate),
    /// `unavailable` and `refused` (nobody there, or not now), `closed`, `timed_out`, `malformed` (the server's answers).
    Task<Result<RemoteFile>> look();

    /// The whole file as a complete partial. `digest`: what it must have; errors then are also those of Store::begin.
    Task<Result<std::unique_ptr<Partial>>> fetch(RemoteFile file, std::optional<ModelDigest> digest, Progress progress);

private:
    struct Opened {
        std::unique_ptr<HttpTransfer> transfer;
        HttpHead head;
    };

    Task<Result<Opened>> ask(std::vector<HttpField> fields);
    Result<Url> follow(Url const& from, HttpHead const& head) const;
    Task<Result<void>> go_on(RemoteFile const& file, Partial& partial, Progress const& progress);
    Task<Result<void>> receive(RemoteFile const& file, Opened opened, Partial& partial, Progress const& progress);

    Env& env_;
    Store& store_;
    DownloadOptions options_;
    Url url_;
    bool is_private_;
    std::optional<ModelDigest> linked_digest_;
};

struct PullRequest {
    Source source;
    std::string name{};  ///< empty: that of the source
    std::optional<ModelDigest> digest{};  ///< what it must have; for a single file only
};

/// Fetches all files of a source and takes them into the store as one model. A model that is here already is the
/// result at once. Errors: those of Download, Store::finish and join_shards; `conflict` if the name is taken, or the
/// digest is another one than the server's.
Task<Result<Model>> pull(Env& env, Store& store, DownloadOptions options, PullRequest request,
                         Download::Progress progress);

}  // namespace plexus::models
