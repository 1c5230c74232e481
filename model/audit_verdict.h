// What figures of an audit mean, in words that say what to do.
#pragma once

#include "vigil/model/initialisation_audit.h"

namespace vigil {

/// Fills in findings, advice and notes.
void judge(InitialisationAudit& audit, const AuditOptions& options);

}  // namespace vigil
