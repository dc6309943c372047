#pragma once

#include <map>
#include <set>

#include "blobs/blobs.h"
#include "blobs/source.h"

namespace plexus::blobs {

inline constexpr std::size_t max_sources = 4;            ///< at a time
inline constexpr std::size_t max_other_lists = 4;        ///< that wait for the one that counts to fail
inline constexpr std::size_t requests_ahead = 3;         ///< of one source
inline constexpr std::size_t checks_at_once = 2;         ///< pieces of one source that are being checked and written
inline constexpr auto late_after = std::chrono::seconds(3);  ///< then an idle source is asked for the piece too
inline constexpr auto patience = std::chrono::seconds(60);   ///< without a piece the copy ends
inline constexpr auto first_retry = std::chrono::seconds(2);
inline constexpr auto longest_retry = std::chrono::seconds(30);

/// One copy of one model, held by the task that leads it and by those of its sources.
///
/// The sources name lists of pieces. One list counts at a time; a source with another one waits, and is used when none is
/// left that has the one that counts. Two lists cannot both be right behind the last place in which they differ, so the
/// piece there is asked for first: it ends the list that lies. See docs/protocols/blob.md.
class Copying : public std::enable_shared_from_this<Copying> {
public:
    Copying(Env& env, host::Host& host, catalog::Catalog& catalog, models::Store& store, Wanted wanted,
            std::function<std::string(PeerId const&)> name_of, TaskScope& tasks);

    /// Works until all pieces are there, or it cannot go on; then nothing of it runs but what `halt` ends.
    Task<Result<void>> run(std::function<void(CopyProgress const&)> progress);
    /// Ends its tasks soon. Nothing is reported after.
    void halt();

    /// After run(): what is complete now. Ends the tasks, as halt().
    std::shared_ptr<models::Partial> take_partial();
    std::string origin() const;

private:
    /// What is known of a device that holds the model.
    struct Standing {
        bool is_working = false;
        bool is_banned = false;  ///< it lied
        Time retry_at{};
        Duration retry_pause{};
        std::shared_ptr<PieceList const> other_list{};  ///< not the one that counts
        std::uint64_t bytes = 0;
    };
    struct Flight {
        PeerId peer;
        Time since{};
        std::size_t takers = 1;
    };
    struct Worker;
    using List = std::shared_ptr<PieceList const>;

    Task<Result<void>> recall();
    Result<void> start_sources();
    Result<void> turn_to_other_list();
    void judge_other_lists();
    Task<> wait_a_moment();
    void report();

    Task<> work(std::shared_ptr<Copying> self, PeerId peer);
    Task<Result<void>> copy_from(std::shared_ptr<Worker> worker);
    Task<Result<bool>> agree(Worker& worker);
    Task<Result<void>> begin_with(Worker& worker);
    void dispute(PeerId const& peer, List const& other);
    Task<Result<void>> take_pieces(std::shared_ptr<Worker> worker);
    Task<Result<void>> take_one_after_another(std::shared_ptr<Worker> worker);
    std::optional<std::uint32_t> next_piece(Worker& worker);
    Task<> keep_piece(std::shared_ptr<Copying> self, std::shared_ptr<Worker> worker, std::uint32_t piece,
                      std::shared_ptr<Bytes> bytes);
    void return_pieces(Worker& worker);
    void leave(PeerId const& peer, Error const& why);
    void count_missing();

    Env& env_;
    host::Host& host_;
    catalog::Catalog& catalog_;
    models::Store& store_;
    Wanted wanted_;
    std::function<std::string(PeerId const&)> name_of_;
    TaskScope& tasks_;
    std::function<void(CopyProgress const&)> progress_;

    List list_;  // the one that counts
    std::shared_ptr<models::Partial> partial_;
    bool is_beginning_ = false;
    std::map<PeerId, Standing> standings_;
    std::set<Worker*> workers_;
    std::set<std::uint32_t> open_;  // missing pieces that nobody was asked for
    std::set<std::uint32_t> urgent_;  // of these, what decides between two lists
    std::map<std::uint32_t, Flight> flights_;
    std::size_t working_ = 0;
    std::size_t keeping_ = 0;
    std::optional<Error> failed_;
    bool halted_ = false;
    Time last_piece_{};
    bool has_brought_ = false;  // any piece at all
    std::deque<std::pair<Time, std::uint64_t>> pace_;  // bytes of the last seconds
    Time last_report_{};
    Signal changed_;
};

}  // namespace plexus::blobs
