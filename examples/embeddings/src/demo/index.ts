export { Problem, ProjectApi } from './api.js';
export { demo } from './demo.js';
export { documentsOf } from './documents.js';
export { Screen } from './screen.js';
