#include "vigil/exporters/header_files.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <fstream>
#include <stdexcept>
#include <string_view>

#include "vigil/exporters/base64.h"

namespace vigil {
namespace {

constexpr std::size_t kMaxLines = 64, kMaxLineBytes = 8192;
constexpr std::array<std::string_view, 10> kOwnHeaders{
    "connection", "content-encoding",  "content-length", "content-type", "expect", "host",
    "te",         "transfer-encoding", "upgrade",        "user-agent"};

// Lines without their ends; of a file that holds more than any request has, the first ones.
std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::invalid_argument("cannot read '" + path + "'");
  std::vector<std::string> lines(1);
  for (char c = 0; lines.size() <= kMaxLines + 1 && file.get(c);) {
    if (c == '\n') {
      lines.emplace_back();
    } else if (lines.back().size() <= kMaxLineBytes) {
      lines.back() += c;
    }
  }
  if (file.bad()) throw std::invalid_argument("cannot read '" + path + "'");
  for (std::string& line : lines) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
  }
  return lines;
}

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return (c >= ' ' && c != 0x7f) || c == '\t'; });
}

bool is_name(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || kMarks.find(c) != std::string_view::npos;
  });
}

// What is wrong with a line; empty: nothing.
std::string problem_of(const std::string& line) {
  if (line.size() > kMaxLineBytes) return "expected at most " + std::to_string(kMaxLineBytes) + " bytes";
  const std::size_t colon = line.find(':');
  std::string name = line.substr(0, std::min(colon, line.size()));
  if (colon == std::string::npos || !is_name(name)) return "expected 'Name: value'";
  if (!is_printable(line)) return "expected printable characters";
  if (line.find_first_not_of(" \t", colon + 1) == std::string::npos) return "expected a value after '" + name + ":'";
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (std::find(kOwnHeaders.begin(), kOwnHeaders.end(), name) != kOwnHeaders.end() || name.rfind("x-prometheus-remote-write", 0) == 0)
    return "'" + line.substr(0, colon) + "' is set by vigil itself; remove it";
  return {};
}

}  // namespace

std::vector<std::string> read_headers(const HeaderFiles& files) {
  std::vector<std::string> headers;
  if (!files.headers.empty()) {
    const std::vector<std::string> lines = lines_of(files.headers);
    if (lines.size() > kMaxLines + 1)
      throw std::invalid_argument(files.headers + ": expected at most " + std::to_string(kMaxLines) + " lines");
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (lines[i].find_first_not_of(" \t") == std::string::npos || lines[i].front() == '#') continue;
      // The line itself stays untold: it may hold a token.
      if (const std::string problem = problem_of(lines[i]); !problem.empty())
        throw std::invalid_argument(files.headers + ":" + std::to_string(i + 1) + ": " + problem);
      headers.push_back(lines[i]);
    }
  }
  if (!files.basic_auth.empty()) {
    const std::string line = lines_of(files.basic_auth).front();
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos || colon == 0 || line.size() > kMaxLineBytes || !is_printable(line))
      throw std::invalid_argument(files.basic_auth + ":1: expected 'user:password'");
    headers.push_back("Authorization: Basic " + base64(line));
  }
  return headers;
}

}  // namespace vigil
