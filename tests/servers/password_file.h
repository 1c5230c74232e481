// For --web.config.file of a server.
#pragma once

namespace vigil::test {

/// Lets in the user aladdin with the password sesame, which stands there as bcrypt has it.
inline constexpr const char* kPasswordFile =
    "basic_auth_users:\n  aladdin: '$2b$04$DvffodZQ87xkC7i6Rf54vOfa/jNuLxha0fmuGPrjtEivbBs6Slxq6'\n";

}  // namespace vigil::test
