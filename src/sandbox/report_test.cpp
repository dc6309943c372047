#include <doctest/doctest.h>

#include "sandbox/report_testing.h"

using namespace plexus;
using namespace plexus::sandbox;

TEST_CASE("sandbox report: what is written is read again")
{
    for (auto const& report : {report_without({}), report_without({Layer::root, Layer::landlock}),
                               report_with({Door::new_code}), report_with({Door::new_code, Door::render_nodes})}) {
        CHECK(parse_report(to_text(report), true).value() == report);
    }
}

TEST_CASE("sandbox report: grade A needs every wall but the control group")
{
    CHECK(report_without({}).grade() == Grade::whole);
    CHECK(report_without({Layer::group}).grade() == Grade::whole);
    CHECK(report_without({Layer::landlock}).grade() == Grade::weak);
    CHECK(report_without({Layer::group, Layer::network_namespace}).grade() == Grade::weak);
}

TEST_CASE("sandbox report: grade B is grade A with doors, and a missing wall makes it C as well")
{
    auto weak = report_without({Layer::landlock});
    weak.doors = {Door::render_nodes};

    CHECK(report_with({Door::render_nodes}).grade() == Grade::doors);
    CHECK(report_with({Door::new_code, Door::render_nodes}).grade() == Grade::doors);
    CHECK(weak.grade() == Grade::weak);
}

TEST_CASE("sandbox report: doors are for engines that were asked to use a GPU")
{
    auto const report = to_text(report_with({Door::new_code}));

    CHECK(parse_report(report, true).has_value());
    CHECK(parse_report(report).error().kind == ErrorKind::not_allowed);
    CHECK(parse_report(to_text(report_without({})), true)->grade() == Grade::whole);
}

TEST_CASE("sandbox report: a door that is named twice or is not known makes it worthless")
{
    auto const twice = to_text(report_with({Door::new_code, Door::new_code}));
    auto unknown = to_text(report_with({Door::new_code}));
    unknown.replace(unknown.find("new-code"), 8, "postern");

    CHECK(parse_report(twice, true).error().kind == ErrorKind::malformed);
    CHECK(parse_report(unknown, true).error().kind == ErrorKind::malformed);
}

TEST_CASE("sandbox report: a wall that no system may refuse cannot be missing")
{
    for (auto const& known : layer_names) {
        CAPTURE(known.name);
        CHECK(parse_report(to_text(report_without({known.layer}))).has_value() == known.may_be_missing);
    }
}

TEST_CASE("sandbox report: a wall that is named twice or not at all makes it worthless")
{
    auto twice = report_without({});
    twice.standing.push_back(Layer::seccomp);
    auto not_at_all = report_without({});
    not_at_all.standing.pop_back();
    auto both = report_without({Layer::root});
    both.standing.push_back(Layer::root);

    for (auto const& report : {twice, not_at_all, both}) {
        CHECK(parse_report(to_text(report)).error().kind == ErrorKind::malformed);
    }
}

TEST_CASE("sandbox report: too few attempts prove nothing")
{
    auto report = report_without({});
    report.probes = least_probes - 1;

    CHECK(parse_report(to_text(report)).error().kind == ErrorKind::not_allowed);
}

TEST_CASE("sandbox report: another form is refused")
{
    auto const good = to_text(report_without({}));
    for (auto cut = std::size_t{0}; cut < good.size(); ++cut) {
        CHECK_FALSE(parse_report(good.substr(0, cut)));
    }
    CHECK(parse_report(good + "more x\n").error().kind == ErrorKind::malformed);
    CHECK(parse_report("walls moat\nmissing \ndoors \nprobes 99\ndigest 0\n").error().kind == ErrorKind::malformed);
    CHECK(parse_report(std::string(max_report_bytes + 1, 'x')).error().kind == ErrorKind::too_large);
}
