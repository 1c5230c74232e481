#include "vigil/inspection/pickle_reader.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "vigil/inspection/little_endian.h"
#include "vigil/terminal/text_cells.h"

namespace vigil {
namespace {

using Kind = PickledValue::Kind;

// Values between marks, and references: a byte of a pickle makes at most one of each.
constexpr std::size_t kMaxReferences = std::size_t{1} << 23;
constexpr std::size_t kMaxGlobalBytes = 4096;

// As pickletools.py of Python names them.
enum Opcode : unsigned char {
  kMark = '(',
  kStop = '.',
  kPop = '0',
  kPopMark = '1',
  kDup = '2',
  kFloat = 'F',
  kInt = 'I',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kLong = 'L',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersId = 'Q',
  kReduce = 'R',
  kBinString = 'T',
  kShortBinString = 'U',
  kBinUnicode = 'X',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kDict = 'd',
  kAppends = 'e',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kList = 'l',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kSetItems = 'u',
  kEmptyTuple = ')',
  kEmptyList = ']',
  kEmptyDict = '}',
  kBinBytes = 'B',
  kShortBinBytes = 'C',
  kBinFloat = 'G',
  kProto = 0x80,
  kNewObj = 0x81,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kLong4 = 0x8b,
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kBinBytes8 = 0x8e,
  kEmptySet = 0x8f,
  kAddItems = 0x90,
  kFrozenSet = 0x91,
  kNewObjEx = 0x92,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
  kByteArray8 = 0x96,
};

class PickleReader {
 public:
  explicit PickleReader(std::string_view bytes) : bytes_(bytes) {}

  PickledValues read() {
    for (;;) {
      opcode_offset_ = at_;
      const unsigned char opcode = byte();
      if (opcode == kStop) break;
      if (!(read_atom(opcode) || read_container(opcode) || read_object(opcode) || read_memo(opcode) || read_stack(opcode)))
        refuse_opcode(opcode);
    }
    found_.root = pop();
    if (!stack_.empty() || !marks_.empty()) fail("ends with values left over");
    return std::move(found_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw InspectionError("the pickle " + what + " (byte " + std::to_string(opcode_offset_) + "); it is damaged, or no file of torch.save");
  }

  [[noreturn]] void refuse_opcode(unsigned char opcode) const {
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "0x%02x", unsigned{opcode});
    const bool is_printable = opcode > 0x20 && opcode < 0x7f;
    fail("has the opcode " + std::string(text.data()) + (is_printable ? " '" + std::string(1, static_cast<char>(opcode)) + "'" : "") +
         ", which neither libtorch nor torch.save writes");
  }

  // --- bytes ---

  std::string_view take(std::uint64_t count) {
    if (count > bytes_.size() - at_) fail("ends within a value");
    const std::string_view taken = bytes_.substr(at_, static_cast<std::size_t>(count));
    at_ += static_cast<std::size_t>(count);
    return taken;
  }
  unsigned char byte() { return static_cast<unsigned char>(take(1)[0]); }
  std::uint64_t number(std::size_t bytes) { return little_endian(reinterpret_cast<const unsigned char*>(take(bytes).data()), bytes); }
  std::string_view line() {
    const std::size_t end = bytes_.find('\n', at_);
    if (end == std::string_view::npos) fail("ends within a line");
    const std::string_view taken = take(end - at_);
    ++at_;
    return taken;
  }

  // --- stack ---

  PickleIndex add(PickledValue value) {
    if (found_.values.size() >= kMaxPickledValues) fail("has more than " + grouped(kMaxPickledValues) + " values");
    found_.values.push_back(std::move(value));
    return static_cast<PickleIndex>(found_.values.size() - 1);
  }
  void push(PickleIndex index) {
    if (++references_ > kMaxReferences) fail("has more than " + grouped(kMaxReferences) + " references to values");
    stack_.push_back(index);
  }
  void push_new(Kind kind, std::int64_t integer = 0) {
    PickledValue value;
    value.kind = kind;
    value.integer = integer;
    push(add(std::move(value)));
  }
  void push_text(Kind kind, std::string text) {
    PickledValue value;
    value.kind = kind;
    value.text = std::move(text);
    push(add(std::move(value)));
  }
  void push_real(double real) {
    PickledValue value;
    value.kind = Kind::real;
    value.real = real;
    push(add(std::move(value)));
  }
  void push_items(Kind kind, std::vector<PickleIndex> items) {
    PickledValue value;
    value.kind = kind;
    value.items = std::move(items);
    push(add(std::move(value)));
  }
  // What lies under a mark is not reached past it.
  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  PickleIndex top() const {
    if (stack_.size() <= floor()) fail("takes a value that is not there");
    return stack_.back();
  }
  PickleIndex pop() {
    const PickleIndex index = top();
    stack_.pop_back();
    return index;
  }
  std::vector<PickleIndex> pop_count(std::size_t count) {
    std::vector<PickleIndex> items(count);
    for (std::size_t i = count; i > 0; --i) items[i - 1] = pop();
    return items;
  }
  std::vector<PickleIndex> pop_to_mark() {
    if (marks_.empty()) fail("has no mark where it needs one");
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<PickleIndex> items(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return items;
  }

  // --- groups of opcodes; false: it is none of these ---

  bool read_atom(unsigned char opcode) {
    switch (opcode) {
      case kNone: push_new(Kind::none); return true;
      case kNewTrue: push_new(Kind::boolean, 1); return true;
      case kNewFalse: push_new(Kind::boolean, 0); return true;
      case kBinInt: push_new(Kind::integer, static_cast<std::int32_t>(static_cast<std::uint32_t>(number(4)))); return true;
      case kBinInt1: push_new(Kind::integer, byte()); return true;
      case kBinInt2: push_new(Kind::integer, static_cast<std::int64_t>(number(2))); return true;
      case kLong1: push_long(take(byte())); return true;
      case kLong4: push_long(take(number(4))); return true;
      case kInt: push_decimal(line()); return true;
      case kLong: {
        std::string_view digits = line();
        if (!digits.empty() && digits.back() == 'L') digits.remove_suffix(1);
        push_decimal(digits);
        return true;
      }
      case kBinFloat: push_real(big_endian_double(take(8))); return true;
      case kFloat: push_real(std::strtod(std::string(line()).c_str(), nullptr)); return true;
      case kBinUnicode: push_text(Kind::text, std::string(take(number(4)))); return true;
      case kShortBinUnicode: push_text(Kind::text, std::string(take(byte()))); return true;
      case kBinUnicode8: push_text(Kind::text, std::string(take(number(8)))); return true;
      // Strings of Python 2 are texts to whoever reads them.
      case kBinString: push_text(Kind::text, std::string(take(number(4)))); return true;
      case kShortBinString: push_text(Kind::text, std::string(take(byte()))); return true;
      case kBinBytes: push_text(Kind::bytes, std::string(take(number(4)))); return true;
      case kShortBinBytes: push_text(Kind::bytes, std::string(take(byte()))); return true;
      case kBinBytes8:
      case kByteArray8: push_text(Kind::bytes, std::string(take(number(8)))); return true;
      default: return false;
    }
  }

  bool read_container(unsigned char opcode) {
    switch (opcode) {
      case kEmptyTuple: push_new(Kind::tuple); return true;
      case kTuple1: push_items(Kind::tuple, pop_count(1)); return true;
      case kTuple2: push_items(Kind::tuple, pop_count(2)); return true;
      case kTuple3: push_items(Kind::tuple, pop_count(3)); return true;
      case kTuple: push_items(Kind::tuple, pop_to_mark()); return true;
      case kEmptyList: push_new(Kind::list); return true;
      case kList: push_items(Kind::list, pop_to_mark()); return true;
      case kEmptySet: push_new(Kind::set); return true;
      case kFrozenSet: push_items(Kind::set, pop_to_mark()); return true;
      case kEmptyDict: push_new(Kind::dict); return true;
      case kDict: {
        std::vector<PickleIndex> items = pop_to_mark();
        if (items.size() % 2 != 0) fail("has a key without a value");
        push_items(Kind::dict, std::move(items));
        return true;
      }
      case kAppend: append(pop_count(1), Kind::list); return true;
      case kAppends: append(pop_to_mark(), Kind::list); return true;
      case kAddItems: append(pop_to_mark(), Kind::set); return true;
      case kSetItem: set_items(pop_count(2)); return true;
      case kSetItems: set_items(pop_to_mark()); return true;
      default: return false;
    }
  }

  bool read_object(unsigned char opcode) {
    switch (opcode) {
      case kGlobal: {
        const std::string module(line());
        push_text(Kind::global, module + '.' + std::string(line()));
        return true;
      }
      case kStackGlobal: {
        const std::vector<PickleIndex> names = pop_count(2);
        if (found_[names[0]].kind != Kind::text || found_[names[1]].kind != Kind::text) fail("names a global by something that is no text");
        // Noted once, a name of megabytes could be asked for in every two bytes.
        if (found_[names[0]].text.size() + found_[names[1]].text.size() > kMaxGlobalBytes)
          fail("names a global by a text that is too long");
        push_text(Kind::global, found_[names[0]].text + '.' + found_[names[1]].text);
        return true;
      }
      case kReduce:
      case kNewObj: {
        const std::vector<PickleIndex> parts = pop_count(2);
        push_object(parts[0], parts[1]);
        return true;
      }
      case kNewObjEx: {
        const std::vector<PickleIndex> parts = pop_count(3);
        PickledValue both;
        both.kind = Kind::tuple;
        both.items = {parts[1], parts[2]};
        push_object(parts[0], add(std::move(both)));
        return true;
      }
      case kBuild: {
        const PickleIndex state = pop();
        set_state(state);
        return true;
      }
      case kBinPersId: {
        PickledValue value;
        value.kind = Kind::persistent;
        value.arguments = pop();
        push(add(std::move(value)));
        return true;
      }
      default: return false;
    }
  }

  bool read_memo(unsigned char opcode) {
    switch (opcode) {
      case kBinPut: note(byte()); return true;
      case kLongBinPut: note(number(4)); return true;
      case kMemoize: note(memo_.size()); return true;
      case kBinGet: push_memo(byte()); return true;
      case kLongBinGet: push_memo(number(4)); return true;
      default: return false;
    }
  }

  bool read_stack(unsigned char opcode) {
    switch (opcode) {
      case kProto: {
        const unsigned char protocol = byte();
        if (protocol < 2 || protocol > 5) fail("is of protocol " + std::to_string(protocol) + "; 2 to 5 are read");
        return true;
      }
      case kFrame: take(8); return true;
      case kMark:
        if (++references_ > kMaxReferences) fail("has more than " + grouped(kMaxReferences) + " references to values");
        marks_.push_back(stack_.size());
        return true;
      case kPop:
        if (!marks_.empty() && marks_.back() == stack_.size()) {
          marks_.pop_back();
        } else {
          pop();
        }
        return true;
      case kPopMark: pop_to_mark(); return true;
      case kDup: push(top()); return true;
      default: return false;
    }
  }

  // --- values ---

  // Two's complement, the lowest byte first.
  void push_long(std::string_view bytes) {
    if (bytes.size() > 8) return push_text(Kind::big_integer, std::string(bytes));
    std::uint64_t value = little_endian(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    const bool negative = !bytes.empty() && (static_cast<unsigned char>(bytes.back()) & 0x80) != 0;
    if (negative && bytes.size() < 8) value |= ~std::uint64_t{0} << (8 * bytes.size());
    std::int64_t integer;
    std::memcpy(&integer, &value, sizeof integer);
    push_new(Kind::integer, integer);
  }

  void push_decimal(std::string_view digits) {
    if (digits == "00" || digits == "01") return push_new(Kind::boolean, digits[1] - '0');
    const std::string text(digits);
    char* end = nullptr;
    errno = 0;
    const std::int64_t integer = std::strtoll(text.c_str(), &end, 10);
    if (text.empty() || end != text.c_str() + text.size()) fail("has a number that is none");
    if (errno == ERANGE) return push_text(Kind::big_integer, text);
    push_new(Kind::integer, integer);
  }

  static double big_endian_double(std::string_view bytes) {
    std::uint64_t bits = 0;
    for (const char c : bytes) bits = bits << 8 | static_cast<unsigned char>(c);
    double real;
    std::memcpy(&real, &bits, sizeof real);
    return real;
  }

  void push_object(PickleIndex callable, PickleIndex arguments) {
    PickledValue value;
    value.kind = Kind::object;
    value.callable = callable;
    value.arguments = arguments;
    push(add(std::move(value)));
  }

  void note(std::uint64_t key) {
    if (memo_.size() >= kMaxPickledValues) fail("notes more than " + grouped(kMaxPickledValues) + " values");
    memo_[key] = top();
  }
  void push_memo(std::uint64_t key) {
    const auto found = memo_.find(key);
    if (found == memo_.end()) fail("refers to a value that it has not noted");
    push(found->second);
  }

  void set_state(PickleIndex state) {
    PickledValue& value = found_.values[top()];
    if (value.kind != Kind::object) fail("gives a state to what is no object");
    if (value.state != kNoValue) fail("gives an object two states");
    value.state = state;
  }

  void append(const std::vector<PickleIndex>& items, Kind kind) {
    PickledValue& value = found_.values[top()];
    if (value.kind != kind && (value.kind != Kind::object || (value.has_pairs && !items.empty()))) fail("appends to what is no list");
    value.items.insert(value.items.end(), items.begin(), items.end());
  }

  void set_items(const std::vector<PickleIndex>& items) {
    PickledValue& value = found_.values[top()];
    if (items.size() % 2 != 0) fail("has a key without a value");
    if (value.kind != Kind::dict && (value.kind != Kind::object || (!value.has_pairs && !value.items.empty())))
      fail("sets an item of what is no dict");
    if (value.kind == Kind::object) value.has_pairs = true;
    value.items.insert(value.items.end(), items.begin(), items.end());
  }

  std::string_view bytes_;
  std::size_t at_ = 0;
  std::size_t opcode_offset_ = 0;
  std::size_t references_ = 0;
  PickledValues found_;
  std::vector<PickleIndex> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, PickleIndex> memo_;
};

}  // namespace

PickledValues read_pickle(std::string_view bytes) { return PickleReader(bytes).read(); }

}  // namespace vigil
