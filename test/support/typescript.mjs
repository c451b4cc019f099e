// `node --import` of this file lets threads that the product starts be TypeScript, as the modules that Vitest loads are.
import { register } from 'node:module';

register('./typescript-hooks.mjs', import.meta.url);
