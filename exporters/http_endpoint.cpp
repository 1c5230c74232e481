#include "vigil/exporters/http_endpoint.h"

#include <poll.h>
#include <zlib.h>

#include <new>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "vigil/exporters/content_negotiation.h"
#include "vigil/exporters/landing_page.h"
#include "vigil/exporters/metric_families.h"
#include "vigil/exporters/process_metrics.h"
#include "vigil/exporters/text_format.h"

namespace vigil {
namespace {

constexpr std::size_t kGzipLeastBytes = 1024;  // below, gzip's own header eats what it saves

// Level 1: ten times smaller already, at a third of the time of the default level.
std::string gzip(const std::string& text) {
  z_stream stream{};
  constexpr int kGzipWindow = 15 + 16, kMemoryLevel = 8;
  if (deflateInit2(&stream, 1, Z_DEFLATED, kGzipWindow, kMemoryLevel, Z_DEFAULT_STRATEGY) != Z_OK) throw std::bad_alloc();
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(&out[0]);
  stream.avail_out = static_cast<uInt>(out.size());
  const int result = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (result != Z_STREAM_END) throw std::runtime_error("cannot compress a response");
  return out;
}

HttpResponse plain(unsigned status, std::string text) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(text);
  return response;
}

}  // namespace

HttpEndpoint::HttpEndpoint(const PrometheusConfig& config, SnapshotSource source)
    : source_(std::move(source)),
      plans_(config),
      server_({config.address, config.port, config.threads}, [this](const HttpRequest& request) { return answer(request); }) {}

HttpResponse HttpEndpoint::answer(const HttpRequest& request) {
  if (request.path() == "/metrics") return metrics(request);
  if (request.path() == "/-/healthy") return plain(200, "vigil is healthy.\n");
  if (request.path() == "/-/ready") {
    return source_() != nullptr ? plain(200, "vigil is ready.\n") : plain(503, "vigil has nothing to show yet.\n");
  }
  if (request.path() != "/") return plain(404, "Not found. Try /metrics, /-/healthy, /-/ready or /.\n");
  HttpResponse page = plain(200, render_landing_page(source_().get()));
  page.type = "text/html; charset=utf-8";
  page.headers = {{"Content-Security-Policy",
                   "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
                  {"Referrer-Policy", "no-referrer"}};
  return page;
}

void HttpEndpoint::wait_for_last_scrape(std::chrono::milliseconds limit) const noexcept {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  // Until the answer is on its way as a whole. Asked in turns: it happens once a run, at its end.
  // acquire: pairs with the release in metrics(); that request is counted as in flight until it is answered.
  const auto scraped = [this] { return last_scraped_.load(std::memory_order_acquire) && server_.requests_in_flight() == 0; };
  while (std::chrono::steady_clock::now() < deadline && !scraped()) poll(nullptr, 0, 10);
}

HttpResponse HttpEndpoint::metrics(const HttpRequest& request) {
  const std::shared_ptr<const Snapshot> snapshot = source_();
  if (!snapshot) return plain(503, "vigil has nothing to show yet.\n");
  std::vector<Family> families = make_families(*snapshot, *plans_.plan_for(snapshot->schema));
  for (Family& family : make_process_families()) families.push_back(std::move(family));
  const TextFormat format = choose_text_format(request.header("Accept"));
  HttpResponse response = plain(200, render_text(families, format));
  response.type = content_type(format);
  response.headers = {{"Vary", "Accept, Accept-Encoding"}};
  if (response.body.size() >= kGzipLeastBytes && prefers_gzip(request.header("Accept-Encoding"))) {
    response.body = gzip(response.body);
    response.headers.emplace_back("Content-Encoding", "gzip");
  }
  // release: pairs with wait_for_last_scrape.
  if (snapshot->state >= RunState::finished) last_scraped_.store(true, std::memory_order_release);
  return response;
}

}  // namespace vigil
