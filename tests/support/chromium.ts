/** Tests that need a Chromium. */
import { findChromium } from "../../lib/gyms/chromium/find_chromium.ts";

/** Whether this machine has one. */
export function hasChromium(): boolean {
  try {
    findChromium();
    return true;
  } catch {
    return false;
  }
}
